"""Publishing: whole versions or nothing, ensembles last, and nothing done twice."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

import durable
import export.publishing.publish as publishing
from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.errors import CheckpointError, PublishError
from export.precision.fp32 import build_fp32
from export.publishing import staleness, turning
from export.publishing.pins import pinned_versions, read_config, replace_text, step_models
from export.publishing.publish import publish
from export.publishing.signature import described_text
from export.publishing.staleness import fingerprint, is_current

FP32, INT8 = "mobilebert_fp32", "mobilebert_int8"


def pins(repository: Path, ensemble: str = "sentiment") -> set[int]:
    return pinned_versions(repository / ensemble / "config.pbtxt")


def files(repository: Path) -> dict[str, bytes]:
    """Everything below the repository; folders end in a slash."""
    return {
        f"{path.relative_to(repository)}{'/' if path.is_dir() else ''}": b""
        if path.is_dir()
        else path.read_bytes()
        for path in sorted(repository.rglob("*"))
    }


def test_a_version_holds_models_manifest_tokenizer_and_ensembles(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    assert publish(checkpoint, tmp_path, {FP32: model}, {FP32: {"nodes": 7}}) == 1
    assert onnx.load(tmp_path / FP32 / "1" / "model.onnx") == model
    manifest = json.loads((tmp_path / FP32 / "1" / "manifest.json").read_text())
    signature = {
        "problem_type": "single_label_classification",
        "labels": ["negative", "positive", "neutral"],
        "threshold": 0.5,
    }
    assert manifest == {
        "nodes": 7,
        "version": 1,
        "checkpoint_sha256": checkpoint.sha256,
        "signature": signature,
    }
    tokenizer = tmp_path / "mobilebert_tokenizer"
    assert (tokenizer / "1" / "tokenizer.json").read_bytes() == checkpoint.tokenizer_json
    for name in ("model.py", "tokenization.py"):
        assert (tokenizer / "1" / name).read_bytes() == (tokenizer / name).read_bytes()
    assert files(tmp_path / "sentiment" / "1") == {"labels.txt": b"negative\npositive\nneutral\n"}
    assert pins(tmp_path) == {1}


def test_publishing_again_adds_a_version_and_turns_the_ensemble_to_it(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    publish(checkpoint, tmp_path, {FP32: model})
    first = (tmp_path / FP32 / "1" / "model.onnx").read_bytes()
    assert publish(checkpoint, tmp_path, {FP32: model}) == 2
    assert pins(tmp_path) == {2}
    assert (tmp_path / FP32 / "1" / "model.onnx").read_bytes() == first, (
        "the version before stays for a rollback"
    )
    for name in (FP32, "mobilebert_tokenizer", "sentiment"):
        assert (tmp_path / name / "2").is_dir()


def test_ensembles_of_models_that_were_not_published_stay_as_they_are(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    publish(checkpoint, tmp_path, {FP32: model, INT8: model})
    publish(checkpoint, tmp_path, {FP32: model})
    assert (pins(tmp_path, "sentiment"), pins(tmp_path, "sentiment_fast")) == ({2}, {1})
    assert (tmp_path / "mobilebert_tokenizer" / "1" / "tokenizer.json").exists()
    publish(checkpoint, tmp_path, {FP32: model, INT8: model})
    assert (pins(tmp_path, "sentiment"), pins(tmp_path, "sentiment_fast")) == ({3}, {3})


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt(), OSError(28, "No space left on device", "model.onnx")]
)
@pytest.mark.parametrize("step", range(1, 8))
def test_an_interruption_leaves_the_version_before_and_nothing_of_the_new_one(
    step: int,
    interruption: BaseException,
    checkpoint: Checkpoint,
    model: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(checkpoint, tmp_path, {FP32: model})
    before = files(tmp_path)
    calls = iter(range(1, 100))

    def interrupted(real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if next(calls) == step:
                raise interruption
            return real(*args, **options)

        return call

    # Steps 1 and 2 write files, 3 and 4 rename the folders that hold them, the others turn the ensemble.
    steps = (
        (publishing, "_stage_tokenizer"),
        (publishing, "_stage_model"),
        (durable, "rename"),
        (turning, "replace_text"),
    )
    for owner, name in steps:
        monkeypatch.setattr(owner, name, interrupted(getattr(owner, name)))
    wanted = KeyboardInterrupt if isinstance(interruption, KeyboardInterrupt) else PublishError
    with pytest.raises(wanted):
        publish(checkpoint, tmp_path, {FP32: model})
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert publish(checkpoint, tmp_path, {FP32: model}) == 2


def test_ensembles_turn_only_when_every_folder_of_the_version_is_in_place(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watch(path: Path, version: int) -> str:
        steps = [tmp_path / name / str(version) for name in step_models(path)]
        seen.append(all(list(step.iterdir()) for step in steps))
        return described_text(path, version)

    monkeypatch.setattr("export.publishing.turning.described_text", watch)
    publish(checkpoint, tmp_path, {FP32: model})
    assert seen == [True]


def test_a_repository_is_seeded_and_what_somebody_wrote_is_kept(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    own = tmp_path / "models" / "mobilebert_int8" / "config.pbtxt"
    own.parent.mkdir(parents=True)
    own.write_text('name: "mobilebert_int8"  # mine\n')
    publish(checkpoint, tmp_path / "models", {FP32: model})
    assert "mine" in own.read_text()
    assert read_config(tmp_path / "models" / FP32 / "config.pbtxt").backend == "onnxruntime"


def test_two_publishers_do_not_mix(checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path) -> None:
    from fcntl import LOCK_EX, flock

    publish(checkpoint, tmp_path, {FP32: model})
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX)
        with pytest.raises(PublishError, match="under way"):
            publish(checkpoint, tmp_path, {FP32: model})
    finally:
        os.close(descriptor)


def test_a_repository_that_cannot_be_written_is_named(checkpoint: Checkpoint, model: onnx.ModelProto) -> None:
    with pytest.raises(PublishError, match="/proc/models cannot be written"):
        publish(checkpoint, Path("/proc/models"), {FP32: model})


def test_pinning_keeps_comments_and_all_other_fields(tmp_path: Path) -> None:
    path = tmp_path / "e" / "config.pbtxt"
    path.parent.mkdir()
    path.write_text(
        'name: "e"  # model_version: words in a comment stay valid\n'
        "version_policy { specific { versions: 1 } }\n"
        "ensemble_scheduling { step [ { model_name: 'a' model_version: 1 },\n"
        "{ model_name: 'b' model_version: -1 } ] }\n"
    )
    replace_text(path, described_text(path, 12))
    assert pinned_versions(path) == {12}
    assert step_models(path) == {"a", "b"}
    config = read_config(path)
    assert config.name == "e"
    assert "words in a comment stay valid" in path.read_text()
    assert not list(path.parent.glob(".*")), "nothing is left beside the file"


def test_pinning_adds_a_version_where_a_step_names_none(tmp_path: Path) -> None:
    path = tmp_path / "e" / "config.pbtxt"
    path.parent.mkdir()
    path.write_text("ensemble_scheduling { step { model_name: 'a' } }\n")
    replace_text(path, described_text(path, 3))
    assert pinned_versions(path) == {3}


def test_a_configuration_that_triton_would_refuse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('nmae: "typo"')
    with pytest.raises(PublishError, match="nmae"):
        read_config(path)


def test_replacing_a_file_keeps_its_mode_and_does_not_touch_equal_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    path.chmod(0o640)
    inode = path.stat().st_ino
    replace_text(path, "one")
    assert path.stat().st_ino == inode
    replace_text(path, "two")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o640)


class TestStaleness:
    """Whether an export would change what the repository holds."""

    @pytest.fixture
    def published(self, own_checkpoint: Path, tmp_path: Path) -> Path:
        repository = tmp_path / "models"
        checkpoint = load_checkpoint(own_checkpoint)
        model = build_fp32(checkpoint)
        publish(checkpoint, repository, {FP32: model})
        stamp = fingerprint(own_checkpoint, repository / "mobilebert_tokenizer")
        publish(checkpoint, repository, {FP32: model}, {FP32: stamp})
        return repository

    @staticmethod
    def current(repository: Path, checkpoint: Path, *models: str) -> bool:
        return is_current(
            repository, models or (FP32,), fingerprint(checkpoint, repository / "mobilebert_tokenizer")
        )

    def test_a_published_checkpoint_is_current(self, published: Path, own_checkpoint: Path) -> None:
        assert self.current(published, own_checkpoint)

    def test_a_changed_checkpoint_is_not(self, published: Path, own_checkpoint: Path) -> None:
        with (own_checkpoint / "config.json").open("a") as file:
            file.write("\n")
        assert not self.current(published, own_checkpoint)

    def test_a_changed_source_is_not_in_whatever_folder_of_export_it_lies(
        self, published: Path, own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_sources = tmp_path / "export"
        shutil.copytree(staleness.SOURCES, own_sources, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(staleness, "SOURCES", own_sources)
        assert self.current(published, own_checkpoint), "the place of the sources does not matter"
        deep = sorted([*own_sources.glob("*/*.py"), *own_sources.glob("*/*/*.pbtxt")])
        assert {path.suffix for path in deep} == {".py", ".pbtxt"}
        for source in (own_sources / "steps.py", *deep):
            text = source.read_bytes()
            source.write_bytes(text + b"\n")
            assert not self.current(published, own_checkpoint), source
            source.write_bytes(text)
        assert self.current(published, own_checkpoint)
        deep[0].rename(deep[0].parents[1] / "moved.py")
        assert not self.current(published, own_checkpoint), "a file in another folder is another source"

    def test_a_changed_tokenizer_source_is_not(self, published: Path, own_checkpoint: Path) -> None:
        with (published / "mobilebert_tokenizer" / "tokenization.py").open("a") as file:
            file.write("\n")
        assert not self.current(published, own_checkpoint)

    def test_a_precision_that_was_never_published_is_not(self, published: Path, own_checkpoint: Path) -> None:
        assert not self.current(published, own_checkpoint, FP32, INT8)

    @pytest.mark.parametrize("lost", [FP32, "mobilebert_tokenizer"])
    def test_a_lost_step_of_the_ensemble_is_not(
        self, lost: str, published: Path, own_checkpoint: Path
    ) -> None:
        shutil.rmtree(published / lost / "2")
        assert not self.current(published, own_checkpoint)

    def test_an_empty_repository_is_not(self, own_checkpoint: Path, tmp_path: Path) -> None:
        assert not self.current(tmp_path / "nowhere", own_checkpoint)

    def test_a_missing_checkpoint_is_an_error_not_an_answer(self, published: Path, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError):
            self.current(published, tmp_path / "nowhere")
