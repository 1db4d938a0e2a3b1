"""The precisions that can be exported and where their builders live; imports nothing heavy."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from export.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.checkpoint.reading import Checkpoint

# Precision -> module that defines `build_<precision>(checkpoint) -> ModelProto`.
BUILDER_MODULES = {
    "fp32": "export.precision.fp32",
    "fp16": "export.precision.fp16",
    "int8": "export.precision.int8",
}


def model_name(precision: str) -> str:
    """The model repository's folder for a precision."""
    return f"mobilebert_{precision}"


def choose_precisions(wanted: Sequence[str] | None) -> list[str]:
    """The precisions to export: all when none is named.

    Raises:
        ExportError: a name is unknown.
    """
    for precision in wanted or ():
        if precision not in BUILDER_MODULES:
            raise ExportError(f"unknown precision {precision!r}: choose from {', '.join(BUILDER_MODULES)}")
    return list(dict.fromkeys(wanted or BUILDER_MODULES))


def builder(precision: str) -> Callable[["Checkpoint"], "ModelProto"]:
    """The function that builds a precision's model."""
    return getattr(import_module(BUILDER_MODULES[precision]), f"build_{precision}")


def twin_builder(precision: str) -> Callable[["Checkpoint"], "ModelProto"]:
    """The function that builds a precision's graph with the same tensors in float32."""
    return getattr(import_module(BUILDER_MODULES[precision]), f"build_{precision}_twin")
