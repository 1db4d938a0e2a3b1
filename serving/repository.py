"""Which models of a repository can be served: those whose artefacts exist."""

import re
from pathlib import Path

from serving.errors import ServingError

ARTEFACTS = {"onnxruntime": "model.onnx", "python": "model.py"}


def find_models(repository: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the models that can be served, and of those that cannot, both sorted.

    An ensemble needs a version folder and every step. Raises ServingError when none can be served.
    """
    configs = {path.parent.name: path.read_text() for path in sorted(repository.glob("*/config.pbtxt"))}
    ready = {name for name, config in configs.items() if _has_artefact(repository / name, config)}
    ready = {name for name in ready if _steps(configs[name]) <= ready}
    if not ready:
        raise ServingError(f"no model in {repository} has been exported yet: run `make export`")
    return tuple(sorted(ready)), tuple(sorted(configs.keys() - ready))


def _has_artefact(folder: Path, config: str) -> bool:
    backend = re.search(r'^\s*backend:\s*"(\w+)"', config, re.MULTILINE)
    artefact = ARTEFACTS.get(backend[1] if backend else "")
    versions = [each for each in folder.iterdir() if each.is_dir() and each.name.isdigit()]
    return any(artefact is None or (version / artefact).is_file() for version in versions)


def _steps(config: str) -> set[str]:
    return set(re.findall(r'model_name:\s*"([^"]+)"', config))
