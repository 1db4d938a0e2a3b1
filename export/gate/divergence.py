"""Finds where a model begins to differ: compares its tensors with those of a float32 twin, first to last.

The twin is the same graph in the same basis (see `registry.twin_builder`), so tensors have the same names.
Codes of the int8 graph are decoded by the scale and zero point that lie beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from export.graph.running import open_session, row_inputs, with_outputs

Tensor = NDArray[Any]

_ROUNDING = 1e-5
# Relative error (root mean square) from which a tensor counts as different.
TOLERANCES = {"fp32": 1e-3, "fp16": 3e-2, "int8": 0.35}


@dataclass(frozen=True)
class Divergence:
    """The first tensor that differs, and by how much of its own size; infinite where shapes or values do."""

    tensor: str
    error: float


def find_divergence(
    model: ModelProto, twin: ModelProto, rows: Sequence[Sequence[int]], tolerance: float
) -> Divergence | None:
    """The first tensor whose relative error passes `tolerance`, or else reaches half of the largest error.

    None where the graphs agree on `rows`.
    """
    names = common_tensors(model, twin)
    wanted, found = run_tensors(twin, names, rows), run_tensors(model, names, rows)
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    errors = [
        relative_error(decode(name, value, reference, constants), reference)
        for name, reference, value in zip(names, wanted, found, strict=True)
    ]
    largest = max(errors)
    if largest < _ROUNDING:
        return None
    bound = min(tolerance, largest / 2)
    return next(Divergence(*each) for each in zip(names, errors, strict=True) if each[1] > bound)


def common_tensors(model: ModelProto, twin: ModelProto) -> list[str]:
    """Names of the nodes' results that both graphs have, in the order of `model`.

    A `.product` is left out: it is the value before a residual or Relu, which some precisions fuse with it.
    """
    known = {name for node in twin.graph.node for name in node.output if not name.endswith(".product")}
    return [name for node in model.graph.node for name in node.output if name in known]


def run_tensors(model: ModelProto, names: Sequence[str], rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Values of the tensors `names` for `rows` in one batch."""
    outputs = {each.name for each in model.graph.output}
    session = open_session(with_outputs(model, [name for name in names if name not in outputs]))
    return session.run(list(names), row_inputs(rows))


def decode(name: str, value: Tensor, reference: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """8-bit codes as the numbers that they stand for; other tensors as they are."""
    name = name.removesuffix(".flat")
    if value.dtype != np.uint8 or reference.dtype.kind != "f":
        return value
    zero, scale = constants[f"{name}.zero"], constants[f"{name}.scale"]
    return (value.astype(np.float32) - zero) * scale


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference over that of `reference`; what is no float has to be equal."""
    if value.shape != reference.shape:
        return float("inf")
    if reference.dtype.kind != "f":
        return 0.0 if np.array_equal(value, reference) else float("inf")
    if not value.size:
        return 0.0
    difference = value.astype(np.float64) - reference
    size = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(difference)))) / max(size, 1e-12)
    return error if np.isfinite(error) else float("inf")
