"""Puts models into a Triton model repository as a new version: all of it or nothing.

    publish(load_checkpoint(folder), Path("model_repository"), {"mobilebert_fp32": model})

A version is one number for tokenizer, models and ensembles together. Its folders are written beside their
place and renamed. A server in explicit mode is told to load them. The ensembles pin the versions of their
steps; they are turned to the new version last, as one change. If that is interrupted, or if the server
refuses, a server sees either the version before or the whole new one.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import durable
from export.checkpoint.reading import Checkpoint
from export.graph.windows import Windows
from export.publishing.generator import TOKENIZER
from export.publishing.pins import step_models
from export.publishing.seeding import seed
from export.publishing.signature import as_manifest, described_models, signature_of
from export.publishing.staleness import MANIFEST
from export.publishing.turning import turn_all
from export.publishing.versions import (
    ensembles,
    keep_only,
    load_steps,
    locked,
    served,
    versions,
)

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.publishing.model_control import ExplicitServer

MODEL_FILE, WINDOWS_FILE = "model.onnx", "windows.json"
_STAGING = ".staging"


def publish(
    checkpoint: Checkpoint,
    repository: Path,
    models: "Mapping[str, ModelProto]",
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
    server: "ExplicitServer | None" = None,
) -> int:
    """Add a version with `models` (by folder name, e.g. "mobilebert_fp32") and the checkpoint's tokenizer.

    `manifests` is written as manifest.json beside each model. `server`: one in explicit mode, to be told what
    to load; one in poll mode sees for itself. Returns the version's number.

    Raises:
        PublishError: the repository cannot be written, another publish is under way, or the server refuses.
    """
    with locked(repository):
        seed(repository)
        version = max(versions(repository), default=0) + 1
        keep_only(repository, served(repository).values())
        always = {"checkpoint_sha256": checkpoint.sha256, **as_manifest(signature_of(checkpoint.config))}
        described = {
            name: {**(manifests or {}).get(name, {}), **always, "version": version} for name in models
        }
        names = [TOKENIZER, *models]
        folders = [repository / name for name in names]
        with _removed_on_failure(folders, version):
            _stage_tokenizer(checkpoint, repository / TOKENIZER)
            for name, model in models.items():
                _stage_model(repository / name, model, described[name])
            for folder in folders:
                durable.rename(folder / _STAGING, folder / str(version))
            turned = [path for path in ensembles(repository) if step_models(path) <= set(names)]
            with described_models(repository, models, version):
                load_steps(turned, server)
                turn_all(repository, dict.fromkeys(turned, version), server)
    return version


@contextmanager
def _removed_on_failure(folders: list[Path], version: int) -> Iterator[None]:
    """After a failure or Ctrl-C, delete what was written of the version. No ensemble uses it, then."""
    try:
        yield
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder / _STAGING, ignore_errors=True)
            shutil.rmtree(folder / str(version), ignore_errors=True)
        raise


def _stage_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    staging = _fresh(folder / _STAGING)
    (staging / "tokenizer.json").write_bytes(checkpoint.tokenizer_json)
    windows = Windows(checkpoint.config.max_position_embeddings)
    (staging / WINDOWS_FILE).write_text(json.dumps(windows.as_read()) + "\n", encoding="utf-8")
    for source in folder.glob("*.py"):
        shutil.copy(source, staging)


def _stage_model(folder: Path, model: "ModelProto", manifest: Mapping[str, Any]) -> None:
    staging = _fresh(folder / _STAGING)
    (staging / MODEL_FILE).write_bytes(model.SerializeToString())
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
