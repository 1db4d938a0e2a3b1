"""Compares the ONNX model's inputs and outputs with its configuration, or fills them in where it has none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from serving.onnxruntime_backend.settings import NUMPY_TYPES, ConfigError, ModelSettings, Tensor

ONNX_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
DEFAULT_MAX_BATCH_SIZE = 4  # the C++ backend's `default-max-batch-size`


def check_signature(
    settings: ModelSettings, inputs: Sequence[ort.NodeArg], outputs: Sequence[ort.NodeArg]
) -> None:
    """Compare names, data types and shapes. Raises ConfigError naming the first difference."""
    expected = {tensor.name: (tensor.dtype, _model_dims(tensor, settings)) for tensor in settings.inputs}
    for batch_input in settings.batch_inputs:
        dims = (-1, -1) if batch_input.kind == "BATCH_ITEM_SHAPE" else (-1,)
        expected.update(dict.fromkeys(batch_input.targets, (batch_input.dtype, dims)))
    promised = {tensor.name: (tensor.dtype, _output_dims(tensor, settings)) for tensor in settings.outputs}
    _same_names(settings.name, expected, {each.name for each in inputs})
    _compare(settings.name, "input", expected, inputs)
    _compare(settings.name, "output", promised, outputs)


def _model_dims(tensor: Tensor, settings: ModelSettings) -> tuple[int, ...]:
    """A ragged input reaches the model as one rank-1 tensor."""
    if tensor.ragged:
        return (-1,)
    return (-1, *tensor.dims) if settings.max_batch_size else tensor.dims


def _output_dims(tensor: Tensor, settings: ModelSettings) -> tuple[int, ...] | None:
    return None if tensor.name in settings.batch_outputs else _model_dims(tensor, settings)


def _same_names(model: str, expected: Iterable[str], actual: set[str]) -> None:
    unknown, missing = sorted(set(expected) - actual), sorted(actual - set(expected))
    if unknown:
        raise ConfigError(f"{model}: the model has no input '{unknown[0]}', only {', '.join(sorted(actual))}")
    if missing:
        raise ConfigError(f"{model}: the model's input '{missing[0]}' is not in the configuration")


def _compare(
    model: str, role: str, expected: dict[str, tuple[Any, ...]], args: Sequence[ort.NodeArg]
) -> None:
    actual = {arg.name: arg for arg in args}
    for name, (dtype, dims) in expected.items():
        if name not in actual:
            raise ConfigError(f"{model}: the model has no {role} '{name}', only {', '.join(sorted(actual))}")
        _compare_tensor(f"{model}: {role} '{name}'", dtype, dims, actual[name])


def _compare_tensor(what: str, dtype: np.dtype, dims: tuple[int, ...] | None, arg: ort.NodeArg) -> None:
    onnx_type = ONNX_TYPES.get(arg.type)
    if onnx_type is None or NUMPY_TYPES[onnx_type] != dtype:
        raise ConfigError(f"{what} is {arg.type} in the model, another type in the configuration")
    shape = _dims(arg)
    if dims is not None and not _fits(dims, shape):
        raise ConfigError(f"{what} has shape {list(shape)} in the model, {list(dims)} in the configuration")


def _dims(arg: ort.NodeArg) -> tuple[int, ...]:
    """Free dimensions have a name or None in ONNX Runtime, -1 in Triton."""
    return tuple(dim if isinstance(dim, int) else -1 for dim in arg.shape)


def _fits(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(dims) != len(shape):
        return False
    return all(-1 in (dim, size) or dim == size for dim, size in zip(dims, shape, strict=True))


@dataclass(frozen=True)
class Completion:
    """What a configuration lacks: JSON entries of `input` and `output`, empty where it has them."""

    max_batch_size: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def complete_config(
    config: Mapping[str, Any], inputs: Sequence[ort.NodeArg], outputs: Sequence[ort.NodeArg]
) -> Completion:
    """Inputs and outputs of the model for a JSON configuration that has none.

    The max_batch_size is the configured one, else 4 when every tensor's first dimension is free, else 0.
    """
    batches = all(_dims(arg)[:1] == (-1,) for arg in (*inputs, *outputs))
    size = int(config.get("max_batch_size", 0)) or (DEFAULT_MAX_BATCH_SIZE if batches else 0)
    return Completion(
        size,
        [] if config.get("input") else [_entry(arg, size > 0) for arg in inputs],
        [] if config.get("output") else [_entry(arg, size > 0) for arg in outputs],
    )


def _entry(arg: ort.NodeArg, batched: bool) -> dict[str, Any]:
    if arg.type not in ONNX_TYPES:
        raise ConfigError(f"tensor '{arg.name}' has type {arg.type}, which Triton does not know")
    return {"name": arg.name, "data_type": ONNX_TYPES[arg.type], "dims": list(_dims(arg)[batched:])}
