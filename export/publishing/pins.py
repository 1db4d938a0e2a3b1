"""Versions that an ensemble's config.pbtxt pins its steps to, read and written through Triton's schema."""

import re
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import durable
from export.errors import PublishError
from export.publishing.ids_name import renamed
from export.publishing.stamp import head_of, read_stamp, stamped, text_of

LABELS_FILE = "labels.txt"
_PIN = re.compile(r"\b((?:model_version|versions):\s*)-?\d+")
_LABELS_PIN = re.compile(rf'\b(label_filename:\s*")\d+/{LABELS_FILE}"')
_VALUE = r'(\bparameters\s*\{\s*key:\s*"%s"\s*value\s*\{\s*string_value:\s*)"(?:[^"\\]|\\.)*"'


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """Parse a config.pbtxt.

    Raises:
        PublishError: it does not follow Triton's schema.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise PublishError(f"{path} is not a Triton model configuration: {error}") from error


def model_folder(path: Path) -> Path:
    """The folder of the model that a configuration belongs to, `configs/<name>.pbtxt` included."""
    return path.parents[1] if path.parent.name == "configs" else path.parent


def is_ensemble(path: Path) -> bool:
    """Whether the config.pbtxt describes an ensemble."""
    return read_config(path).HasField("ensemble_scheduling")


def step_models(path: Path) -> set[str]:
    """Names of the models that an ensemble's steps run."""
    return {step.model_name for step in read_config(path).ensemble_scheduling.step}


def pinned_versions(path: Path) -> set[int]:
    """Versions that an ensemble's steps are pinned to; one number unless somebody edited it."""
    return {step.model_version for step in read_config(path).ensemble_scheduling.step}


def config_text(path: Path, config: model_config_pb2.ModelConfig) -> str:
    """The text of a configuration file, changed to `config`.

    A file that somebody wrote or edited keeps its comments, if only versions, parameters and the name of the
    ids change.
    """
    before = path.read_text(encoding="utf-8")
    stamp = read_stamp(before)
    if stamp and not stamp.edited:
        return stamped(config, stamp)
    text = _edited(before, config)
    if text_format.Parse(text, model_config_pb2.ModelConfig()) != config:
        note = "# Written by `python -m export`, which keeps comments only while the outputs stay the same.\n"
        text = head_of(before) + note + text_of(config)
    return text


def _edited(text: str, config: model_config_pb2.ModelConfig) -> str:
    """The text with the versions, the name of the ids and the parameters of `config`.

    Parameters that it lacks are added at its end.
    """
    version = max(config.version_policy.specific.versions, default=0)
    text = _PIN.sub(rf"\g<1>{version}", text)
    text = _LABELS_PIN.sub(rf'\g<1>{version}/{LABELS_FILE}"', text)
    text = renamed(text, config)
    for key, parameter in sorted(config.parameters.items()):
        value = text_format.MessageToString(parameter, as_utf8=True, as_one_line=True)
        known = re.compile(_VALUE % re.escape(key))
        if known.search(text):
            text = known.sub(lambda match: match[1] + value.removeprefix("string_value: "), text)  # noqa: B023
        else:
            text = f'{text.rstrip()}\nparameters {{\n  key: "{key}"\n  value {{ {value} }}\n}}\n'
    return text


def replace_text(path: Path, text: str) -> None:
    """Write the file unless it holds `text`: a server that polls takes a new time of change for a change."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    durable.write_text(path, text)
