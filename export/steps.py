"""Checkpoint to published version: read, build, check, publish; nothing appears unless all checks pass."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.gate.check import Report, check_golden
from export.precision.registry import builder, model_name
from export.publishing.generator import TOKENIZER
from export.publishing.manifest import describe
from export.publishing.model_control import ExplicitServer
from export.publishing.publish import publish
from export.publishing.seeding import seed_configs
from export.publishing.staleness import fingerprint

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """One model of a published version; seconds: to build and check it."""

    name: str
    nodes: int
    size_bytes: int
    seconds: float
    report: Report | None
    manifest: Mapping[str, Any]


def export_checkpoint(
    folder: Path,
    repository: Path,
    precisions: Sequence[str],
    announce: Announce = lambda step: None,
    server: ExplicitServer | None = None,
    remark: Announce = lambda note: None,
) -> tuple[int, list[Exported]]:
    """Export `folder` into `repository`; `announce` is called with what is being done.
    `remark` is called with the notes of the checkpoint, and with configurations that did not follow their
    template because somebody edited them.

    `server`: one in explicit mode, to be told what to load.

    Returns the version's number and what it holds.

    Raises:
        ExportError: the checkpoint is unsupported, a model fails its check, or nothing can be written.
    """
    announce("reading the checkpoint")
    checkpoint = load_checkpoint(folder)
    for note in checkpoint.notes:
        remark(note)
    models: dict[str, ModelProto] = {}
    results = []
    for precision in precisions:
        model, result = _build(checkpoint, precision, announce)
        models[result.name] = model
        results.append(result)
    announce("publishing")
    for note in seed_configs(repository):
        remark(note)
    stamp = {"checkpoint": folder.resolve().name, **fingerprint(folder, repository / TOKENIZER)}
    manifests = {result.name: {**stamp, **result.manifest} for result in results}
    return publish(checkpoint, repository, models, manifests, server), results


def _build(checkpoint: Checkpoint, precision: str, announce: Announce) -> tuple[ModelProto, Exported]:
    started = time.perf_counter()
    announce(f"building {precision}")
    model = builder(precision)(checkpoint)
    announce(f"checking {precision}")
    report = check_golden(model, precision, checkpoint)
    if report:
        report.raise_if_violated()
    name, seconds = model_name(precision), time.perf_counter() - started
    manifest = describe(name, model, report)
    return model, Exported(name, len(model.graph.node), model.ByteSize(), seconds, report, manifest)
