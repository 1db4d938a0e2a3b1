"""Ensembles name the model that reads the ids, where the tokenizer that they are pinned to knows the name."""

import re
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format

from export.checkpoint.reading import Checkpoint
from export.publishing.pins import read_config
from export.publishing.publish import publish
from export.publishing.seeding import seed_configs
from export.publishing.versions import rollback

FP32, TOKENIZER = "mobilebert_fp32", "mobilebert_tokenizer"
NAMED = "input_ids_for_mobilebert_fp32"


@pytest.fixture
def repository(checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path) -> Path:
    """With a first version."""
    publish(checkpoint, tmp_path, {FP32: model})
    return tmp_path


def asked(ensemble: Path) -> str:
    """The output of the tokenizer that the model's step reads."""
    tokenizer, network = read_config(ensemble).ensemble_scheduling.step
    [(tensor, read)] = [(tensor, name) for name, tensor in network.input_map.items()]
    assert (tensor, read) == ("input_ids", "input_ids")
    [output] = [output for output, given in tokenizer.output_map.items() if given == tensor]
    return output


def forget_names(version: Path) -> None:
    """Make it the tokenizer of an earlier release."""
    model = version / "model.py"
    model.write_text(model.read_text().replace("ids_output(", "other("))


def test_every_ensemble_asks_by_its_models_name(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    precisions = ("fp32", "fp16", "int8")
    publish(checkpoint, tmp_path, {f"mobilebert_{each}": model for each in precisions})
    for place, precision in (
        ("sentiment/config.pbtxt", "fp32"),
        ("sentiment_fast/config.pbtxt", "int8"),
        ("sentiment_fast/configs/gpu.pbtxt", "fp16"),
    ):
        assert asked(tmp_path / place) == f"input_ids_for_mobilebert_{precision}"
    for place in ("config.pbtxt", "configs/gpu.pbtxt"):
        outputs = {each.name: each for each in read_config(tmp_path / TOKENIZER / place).output}
        for precision in precisions:
            copy = outputs[f"input_ids_for_mobilebert_{precision}"]
            assert (copy.data_type, copy.dims) == (outputs["input_ids"].data_type, outputs["input_ids"].dims)


def test_an_earlier_releases_version_is_asked_as_it_knows(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    ensemble = repository / "sentiment" / "config.pbtxt"
    forget_names(repository / TOKENIZER / "1")
    publish(checkpoint, repository, {FP32: model})
    assert asked(ensemble) == NAMED
    rollback(repository)
    assert asked(ensemble) == "input_ids"


def test_an_ensemble_that_was_lost_comes_back_asking_as_its_version_knows(repository: Path) -> None:
    ensemble = repository / "sentiment" / "config.pbtxt"
    for name in (NAMED, "input_ids"):
        ensemble.unlink()
        seed_configs(repository)
        assert asked(ensemble) == name
        forget_names(repository / TOKENIZER / "1")


def test_an_edited_ensemble_keeps_its_comments_whatever_the_name(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    ensemble = repository / "sentiment" / "config.pbtxt"
    forget_names(repository / TOKENIZER / "1")
    ensemble.write_text(ensemble.read_text().replace(NAMED, "input_ids") + "# mine\n")
    publish(checkpoint, repository, {FP32: model})
    assert asked(ensemble) == NAMED
    rollback(repository)
    assert asked(ensemble) == "input_ids"
    assert ensemble.read_text().endswith("# mine\n")
    assert "# Written by" not in ensemble.read_text()


def test_a_tokenizers_edited_configuration_without_the_names_is_asked_as_before(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    config = repository / TOKENIZER / "config.pbtxt"
    shortened = re.sub(r'output \{\n  name: "input_ids_for_[^}]*\}\n', "", config.read_text())
    assert "input_ids_for" not in shortened
    config.write_text(shortened)
    publish(checkpoint, repository, {FP32: model})
    assert config.read_text() == shortened
    assert asked(repository / "sentiment" / "config.pbtxt") == "input_ids"


def test_an_ensemble_of_somebodys_own_shape_is_left_alone(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    """One that asks for the ids twice."""
    ensemble = repository / "sentiment" / "config.pbtxt"
    config = read_config(ensemble)
    config.ensemble_scheduling.step[0].output_map["input_ids"] = "copy"
    ensemble.write_text(text_format.MessageToString(config))
    publish(checkpoint, repository, {FP32: model})
    step = read_config(ensemble).ensemble_scheduling.step[0]
    assert {step.output_map[NAMED], step.output_map["input_ids"]} == {"input_ids", "copy"}
