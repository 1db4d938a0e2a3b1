"""Which models can be served: those whose artefacts exist."""

from pathlib import Path

import pytest

from serving.errors import ServingError
from serving.repository import are_complete, find_models


def model(repository: Path, name: str, config: str, artefact: str = "") -> None:
    (repository / name).mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(f'name: "{name}" {config}')
    if artefact:
        (repository / name / artefact).parent.mkdir(parents=True)
        (repository / name / artefact).touch()


def ensemble(*steps: str) -> str:
    return "ensemble_scheduling { " + " ".join(f'step {{ model_name: "{step}" }}' for step in steps) + " }"


def test_a_model_needs_its_artefact_and_an_ensemble_its_steps(tmp_path: Path) -> None:
    model(tmp_path, "tokens", 'backend: "python"', "1/model.py")
    model(tmp_path, "net", 'backend: "onnxruntime"', "3/model.onnx")
    model(tmp_path, "named", 'backend: "onnxruntime" default_model_filename: "net.onnx"', "1/net.onnx")
    model(tmp_path, "empty", 'backend: "onnxruntime"')
    model(tmp_path, "staged", 'backend: "onnxruntime"', ".staging/model.onnx")
    model(tmp_path, "whole", ensemble("tokens", "net"), "1/.keep")
    model(tmp_path, "partial", ensemble("tokens", "empty"), "1/.keep")
    model(tmp_path, "unversioned", ensemble("tokens", "net"))
    assert find_models(tmp_path) == (
        ("named", "net", "tokens", "whole"),
        ("empty", "partial", "staged", "unversioned"),
    )


def test_a_custom_configuration_decides_the_steps(tmp_path: Path) -> None:
    model(tmp_path, "net", 'backend: "onnxruntime"', "1/model.onnx")
    model(tmp_path, "fast", ensemble("missing"), "1/.keep")
    (tmp_path / "fast" / "configs").mkdir()
    (tmp_path / "fast" / "configs" / "gpu.pbtxt").write_text(ensemble("net"))
    assert find_models(tmp_path)[0] == ("net",)
    assert find_models(tmp_path, "gpu")[0] == ("fast", "net")


def test_a_repository_without_artefacts_names_the_remedy(tmp_path: Path) -> None:
    model(tmp_path, "net", 'backend: "onnxruntime"')
    with pytest.raises(ServingError, match="make export"):
        find_models(tmp_path)


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    model(tmp_path, "net", "backend: {")
    with pytest.raises(ServingError, match=r"net/config.pbtxt is not a model configuration"):
        find_models(tmp_path)


SIGNATURE = (
    'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }'
)


def test_configurations_are_complete_when_none_has_a_gap(tmp_path: Path) -> None:
    model(tmp_path, "net", f'backend: "onnxruntime" {SIGNATURE}', "1/model.onnx")
    model(tmp_path, "code", f'backend: "python" {SIGNATURE}', "1/model.py")
    model(tmp_path, "whole", ensemble("net"), "1/.keep")
    assert are_complete(tmp_path)
    (tmp_path / "code" / "1" / "model.py").write_text("def auto_complete_config(config): ...")
    assert not are_complete(tmp_path)


@pytest.mark.parametrize("config", ['backend: "onnxruntime"', SIGNATURE], ids=["no tensors", "no backend"])
def test_a_gap_in_a_configuration_is_seen(tmp_path: Path, config: str) -> None:
    model(tmp_path, "net", config, "1/model.onnx")
    assert not are_complete(tmp_path)


def test_a_model_without_a_configuration_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "bare" / "1").mkdir(parents=True)
    assert not are_complete(tmp_path)
