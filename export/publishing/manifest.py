"""What is written beside every published model: where it comes from, and what the gate measured.

A manifest is JSON: the model's name and version, the checkpoint's name, hashes of it and of the export's
sources, export options, library versions, size, and the gate's figures, or null where there were none.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from onnx import ModelProto

from export.gate.check import Report
from export.publishing.staleness import MANIFEST

Manifest = Mapping[str, Any]

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "safetensors", "tokenizers")


def describe(name: str, model: ModelProto, report: Report | None) -> dict[str, Any]:
    """The manifest of a model but for its version and hashes; options are the model's metadata."""
    return {
        "model": name,
        "nodes": len(model.graph.node),
        "bytes": model.ByteSize(),
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "options": {entry.key: entry.value for entry in model.metadata_props},
        "libraries": {"python": python_version(), **{library: version(library) for library in _LIBRARIES}},
        "gate": report.as_manifest() if report else None,
    }


def published(repository: Path) -> Iterator[Manifest]:
    """Manifests of all models and versions of a repository, newest version first."""
    paths = repository.glob(f"*/[0-9]*/{MANIFEST}")
    for path in sorted(paths, key=lambda path: (-int(path.parent.name), path.parents[1].name)):
        try:
            yield {**json.loads(path.read_text(encoding="utf-8")), "version": int(path.parent.name)}
        except ValueError:
            yield {"model": path.parents[1].name, "version": int(path.parent.name), "damaged": True}
