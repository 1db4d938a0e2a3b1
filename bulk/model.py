"""Which model a run uses: an ensemble of a model repository in the version that it serves; its identity."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from bulk.errors import BulkError
from bulk.scores import Answer
from export.errors import PublishError
from export.publishing.generator import TOKENIZER
from export.publishing.pins import pinned_versions, read_config, step_models
from export.publishing.signature import read_signature
from export.publishing.staleness import MANIFEST, read_manifest
from serving.onnxruntime_backend.settings import ModelSettings, parse_settings


@dataclass(frozen=True)
class Model:
    """`network` is the ONNX model that the ensemble `name` runs. Any process can load it by this."""

    repository: Path
    name: str
    network: str
    version: int
    answer: Answer
    sha256: str
    checkpoint: str
    checkpoint_sha256: str

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.repository / self.network / str(self.version) / self.settings().filename

    @property
    def tokenizer(self) -> Path:
        """The folder with tokenizer.json and windows.json."""
        return self.repository / TOKENIZER / str(self.version)

    def settings(self) -> ModelSettings:
        """What the network's config.pbtxt says."""
        return parse_settings(_as_json(self.repository / self.network))

    def limits(self) -> dict[str, str]:
        """The parameters of the tokenizer's config.pbtxt."""
        parameters = _as_json(self.repository / TOKENIZER)["parameters"]
        return {key: each["string_value"] for key, each in parameters.items()}

    def identity(self) -> dict[str, str]:
        """What makes answers comparable: kept in the manifest of a run and in what it writes."""
        return {
            "model": self.name,
            "model_version": str(self.version),
            "network": self.network,
            "network_sha256": self.sha256,
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
        }


def find_model(repository: str | Path, name: str) -> Model:
    """The version of ensemble `name` that `repository` serves.

    Raises BulkError where there is no such model.
    """
    repository = Path(repository).absolute()
    path = repository / name / "config.pbtxt"
    if not path.is_file():
        known = ", ".join(sorted(each.parent.name for each in repository.glob("*/config.pbtxt")))
        raise BulkError(f"{repository} has no model {name!r}; it has {known or 'none'}")
    try:
        networks, version = step_models(path) - {TOKENIZER}, max(pinned_versions(path), default=0)
    except PublishError as error:
        raise BulkError(str(error)) from None
    if len(networks) != 1:
        raise BulkError(f"{name!r} does not map a text to a label; take an ensemble such as 'sentiment_fast'")
    network = networks.pop()
    folder = repository / network / str(version)
    signature, manifest = read_signature(folder), read_manifest(folder / MANIFEST)
    onnx = folder / parse_settings(_as_json(repository / network)).filename
    if not onnx.is_file():
        raise BulkError(f"{name!r} is not exported in {repository}: run `make export` first")
    return Model(
        repository=repository,
        name=name,
        network=network,
        version=version,
        answer=Answer(signature.problem_type, len(signature.labels) or 2),
        sha256=_sha256(onnx),
        checkpoint=manifest.get("checkpoint", ""),
        checkpoint_sha256=manifest.get("checkpoint_sha256", ""),
    )


def check_file(model: Model) -> None:
    """A worker's own copy of the repository must hold the same model. Raises BulkError."""
    if not model.path.is_file() or _sha256(model.path) != model.sha256:
        raise BulkError(
            f"{model.path} on a worker is not the model of this run: every node needs the same repository"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _as_json(folder: Path) -> dict[str, Any]:
    return MessageToDict(read_config(folder / "config.pbtxt"), preserving_proto_field_name=True)
