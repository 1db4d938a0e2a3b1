"""Checkpoint to Triton: folds a MobileBERT classifier into ONNX, checks it, publishes it as a new version.

    from export import build_fp32, load_checkpoint
    onnx.save(build_fp32(load_checkpoint("checkpoints/mobilebert-imdb")), "model.onnx")

Packages, in the order in which data passes them. Each imports only those before it (see pyproject.toml):

    errors -> checkpoint -> graph -> precision -> gate -> publishing -> steps, report -> commands, cli

Open `steps.py` first. Names are imported on first use, and no package's `__init__` imports anything:
`python -m export --if-stale` need not wait for onnx.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "build_fp16": "export.precision.fp16",
    "build_fp32": "export.precision.fp32",
    "CheckpointError": "export.errors",
    "load_checkpoint": "export.checkpoint.reading",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
