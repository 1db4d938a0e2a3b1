"""Which models of a repository can be served: those whose artefacts exist."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from serving.errors import ServingError

ARTEFACTS = {"onnxruntime": "model.onnx", "python": "model.py"}


def find_models(repository: Path, config_name: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the models that can be served, and of those that cannot, both sorted.

    An ensemble needs a version folder and every step. Raises ServingError when none can be served, or when a
    configuration cannot be read.
    """
    folders = [path.parent for path in sorted(repository.glob("*/config.pbtxt"))]
    configs = {folder.name: read_config(folder, config_name) for folder in folders}
    complete = {name for name, config in configs.items() if _has_artefact(repository / name, config)}
    ready = {name for name in complete if _steps(configs[name]) <= complete}
    if not ready:
        raise ServingError(f"no model in {repository} has been exported yet: run `make export`")
    return tuple(sorted(ready)), tuple(sorted(configs.keys() - ready))


def are_complete(repository: Path, config_name: str = "") -> bool:
    """Whether no model leaves a part of its configuration to Triton's auto-completion, which starts one more
    process for each model."""
    return all(_is_complete(each, config_name) for each in repository.iterdir() if each.is_dir())


def _is_complete(folder: Path, config_name: str) -> bool:
    """A Python model with code for auto-completion counts as incomplete: it may complete anything."""
    if not (folder / "config.pbtxt").exists():
        return False
    config = read_config(folder, config_name)
    if config.HasField("ensemble_scheduling"):
        return True
    codes = (path.read_text(errors="replace") for path in folder.glob("*/*.py"))
    completes = any("auto_complete_config" in code for code in codes)
    return bool(config.backend and config.input and config.output) and not completes


def read_config(folder: Path, config_name: str = "") -> ModelConfig:
    """A model's configuration: `configs/<config_name>.pbtxt` where it exists, as Triton chooses."""
    custom = folder / "configs" / f"{config_name}.pbtxt"
    path = custom if config_name and custom.is_file() else folder / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(), ModelConfig())
    except (text_format.ParseError, OSError) as error:
        raise ServingError(f"{path} is not a model configuration: {error}") from None


def _has_artefact(folder: Path, config: ModelConfig) -> bool:
    artefact = config.default_model_filename or ARTEFACTS.get(config.backend)
    versions = [each for each in folder.iterdir() if each.is_dir() and each.name.isdigit()]
    return any(artefact is None or (version / artefact).exists() for version in versions)


def _steps(config: ModelConfig) -> set[str]:
    return {step.model_name for step in config.ensemble_scheduling.step}
