"""Versions that an ensemble's config.pbtxt pins its steps to, read and written through Triton's schema."""

import re
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import durable
from export.errors import PublishError

_PIN = re.compile(r"\b((?:model_version|versions):\s*)-?\d+")


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """Parse a config.pbtxt.

    Raises:
        PublishError: it does not follow Triton's schema.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise PublishError(f"{path} is not a Triton model configuration: {error}") from error


def is_ensemble(path: Path) -> bool:
    """Whether the config.pbtxt describes an ensemble."""
    return read_config(path).HasField("ensemble_scheduling")


def step_models(path: Path) -> set[str]:
    """Names of the models that an ensemble's steps run."""
    return {step.model_name for step in read_config(path).ensemble_scheduling.step}


def pinned_versions(path: Path) -> set[int]:
    """Versions that an ensemble's steps are pinned to; one number unless somebody edited it."""
    return {step.model_version for step in read_config(path).ensemble_scheduling.step}


def pinned_text(path: Path, version: int) -> str:
    """An ensemble's config.pbtxt, comments kept, with `version` its only one and that of every step."""
    config = read_config(path)
    config.version_policy.specific.versions[:] = [version]
    for step in config.ensemble_scheduling.step:
        step.model_version = version
    text = _PIN.sub(rf"\g<1>{version}", path.read_text(encoding="utf-8"))
    if text_format.Parse(text, model_config_pb2.ModelConfig()) != config:
        text = text_format.MessageToString(config)
    return text


def replace_text(path: Path, text: str) -> None:
    """Write the file unless it holds `text`: a server that polls takes a new time for a change."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    durable.write_text(path, text)
