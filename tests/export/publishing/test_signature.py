"""config.pbtxt promises what the served version gives, through publish, rollback and failure."""

import json
import shutil
from pathlib import Path

import onnx
import pytest

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.errors import PublishError
from export.precision.fp32 import build_fp32
from export.publishing.generator import configurations
from export.publishing.pins import pinned_versions, read_config
from export.publishing.publish import publish
from export.publishing.versions import complete_change, rollback
from tests.export.publishing.test_publish import files

FP32 = "mobilebert_fp32"
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
OUTPUTS = {
    SINGLE: ["label", "score", "probabilities"],
    MULTI: ["label", "score", "probabilities", "labels"],
    REGRESSION: ["label", "score", "values"],
}
TOKENIZERS = ["num_tokens", "num_windows", "truncated"]


@pytest.fixture(scope="module")
def checkpoints(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """The small checkpoint as each problem type."""
    return {kind: _as(kind, small_checkpoint, tmp_path_factory.mktemp(kind)) for kind in OUTPUTS}


def _as(kind: str, source: Path, folder: Path) -> Checkpoint:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, "problem_type": kind}))
    return load_checkpoint(folder)


def publish_fp32(checkpoint: Checkpoint, repository: Path) -> int:
    return publish(checkpoint, repository, {FP32: build_fp32(checkpoint)})


def outputs(path: Path) -> list[str]:
    return [each.name for each in read_config(path).output]


def live(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / FP32).glob("[0-9]*"))


def assert_promises_hold(repository: Path, kind: str) -> None:
    """Every live version of the model has the outputs of its configuration, the ensemble a part of them."""
    names = outputs(repository / FP32 / "config.pbtxt")
    assert sorted(names) == sorted([*OUTPUTS[kind], "logits"])
    assert outputs(repository / FP32 / "configs" / "gpu.pbtxt") == names
    for version in live(repository):
        model = onnx.load(repository / FP32 / version / "model.onnx")
        assert sorted(each.name for each in model.graph.output) == sorted(names)
    ensemble = read_config(repository / "sentiment" / "config.pbtxt")
    promised = [each.name for each in ensemble.output]
    assert [name for name in promised if name not in TOKENIZERS] == OUTPUTS[kind]
    maps = [set(step.output_map.values()) for step in ensemble.ensemble_scheduling.step]
    assert set(promised) <= set.union(*maps)
    assert set(ensemble.ensemble_scheduling.step[1].output_map) == set(OUTPUTS[kind])
    assert ensemble.parameters["problem_type"].string_value == kind
    labelled = {each.name: each.label_filename for each in ensemble.output if each.label_filename}
    version = max(pinned_versions(repository / "sentiment" / "config.pbtxt"))
    assert list(labelled.values()) == [f"{version}/labels.txt"]
    assert (repository / "sentiment" / f"{version}/labels.txt").read_text() == "negative\npositive\nneutral\n"


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_copy_of_the_repository_takes_every_problem_type(
    kind: str, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[kind], tmp_path)
    assert_promises_hold(tmp_path, kind)


def test_a_model_of_the_usual_kind_is_served_as_its_template_says(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[SINGLE], tmp_path)
    assert read_config(tmp_path / FP32 / "config.pbtxt") == configurations()[FP32]


@pytest.mark.parametrize(("first", "second"), [(SINGLE, MULTI), (MULTI, REGRESSION), (REGRESSION, SINGLE)])
def test_another_problem_type_replaces_the_first_and_a_rollback_brings_it_back(
    first: str, second: str, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[first], tmp_path)
    publish_fp32(checkpoints[second], tmp_path)
    assert_promises_hold(tmp_path, second)
    assert live(tmp_path) == ["2"]
    rollback(tmp_path)
    assert_promises_hold(tmp_path, first)
    assert live(tmp_path) == ["1"]
    assert publish_fp32(checkpoints[second], tmp_path) == 3
    assert_promises_hold(tmp_path, second)


def test_the_version_before_stays_loaded_while_the_problem_type_stays(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[MULTI], tmp_path)
    publish_fp32(checkpoints[MULTI], tmp_path)
    assert live(tmp_path) == ["1", "2"]
    assert_promises_hold(tmp_path, MULTI)


def test_a_server_that_refuses_leaves_everything_as_it_was(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    class Refusing:
        def load(self, models: object) -> None:
            raise PublishError("refused")

    publish_fp32(checkpoints[SINGLE], tmp_path)
    before = files(tmp_path)
    model = build_fp32(checkpoints[MULTI])
    with pytest.raises(PublishError, match="refused"):
        publish(checkpoints[MULTI], tmp_path, {FP32: model}, server=Refusing())  # type: ignore[arg-type]
    assert files(tmp_path) == before


def test_an_ensemble_of_the_users_own_keeps_its_outputs(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[SINGLE], tmp_path)
    own = tmp_path / "mine" / "config.pbtxt"
    own.parent.mkdir()
    own.write_text(
        f"""name: "mine" platform: "ensemble" max_batch_size: 8
input {{ name: "input_ids" data_type: TYPE_INT64 dims: -1 }}
output {{ name: "logits" data_type: TYPE_FP32 dims: -1 }}
ensemble_scheduling {{ step {{
  model_name: "{FP32}" model_version: 1
  input_map {{ key: "input_ids" value: "input_ids" }} output_map {{ key: "logits" value: "logits" }}
}} }}
"""
    )
    publish_fp32(checkpoints[SINGLE], tmp_path)
    assert outputs(own) == ["logits"]
    assert pinned_versions(own) == {2}


def test_labels_of_any_script_and_with_quotes_are_written_and_read_back(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    from dataclasses import replace

    labels = ('so "good"', "très mal \\ 最後", "two\nlines")
    checkpoint = checkpoints[SINGLE]
    publish_fp32(replace(checkpoint, config=replace(checkpoint.config, labels=labels)), tmp_path)
    ensemble = read_config(tmp_path / "sentiment" / "config.pbtxt")
    assert json.loads(ensemble.parameters["labels"].string_value) == list(labels)
    assert ensemble.parameters["checkpoint_sha256"].string_value == checkpoint.sha256
    assert (tmp_path / "sentiment/1/labels.txt").read_text().splitlines() == [*labels[:2], "two lines"]


def test_a_repository_of_before_models_named_their_labels_is_completed(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    publish_fp32(checkpoints[SINGLE], tmp_path)
    labels = tmp_path / FP32 / "labels.txt"
    written = labels.read_text()
    assert written == "negative\npositive\nneutral\n"
    labels.unlink()
    complete_change(tmp_path)
    assert labels.read_text() == written
