"""What a model's ``config.pbtxt`` says, as one typed object.

Triton hands a Python backend the configuration as JSON: enumerations are names, ``-1`` is a free dimension
and 64-bit integers arrive as strings. Parameters keep the names and values that the C++ backend's README
gives them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMPY_TYPES: dict[str, np.dtype] = {
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_UINT8": np.dtype(np.uint8),
    "TYPE_UINT16": np.dtype(np.uint16),
    "TYPE_UINT32": np.dtype(np.uint32),
    "TYPE_UINT64": np.dtype(np.uint64),
    "TYPE_INT8": np.dtype(np.int8),
    "TYPE_INT16": np.dtype(np.int16),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
    "TYPE_FP16": np.dtype(np.float16),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_FP64": np.dtype(np.float64),
    "TYPE_STRING": np.dtype(np.object_),
}
BATCH_INPUT_TYPES = ("TYPE_INT32", "TYPE_FP32")


class ConfigError(ValueError):
    """The configuration asks for something that this backend, or the model, does not offer."""


@dataclass(frozen=True)
class Tensor:
    """One ``input`` or ``output`` of the configuration; ``dims`` leave out the batch dimension."""

    name: str
    dtype: np.dtype
    dims: tuple[int, ...]
    ragged: bool = False
    optional: bool = False


@dataclass(frozen=True)
class BatchInput:
    """A tensor that is made from the shapes of the batch; ``kind`` is a name of ``BatchInput.Kind``."""

    kind: str
    targets: tuple[str, ...]
    dtype: np.dtype
    source: str


@dataclass(frozen=True)
class ModelSettings:
    """A model's configuration. ``batch_outputs`` maps an output to the input whose shape scatters it."""

    name: str
    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch_inputs: tuple[BatchInput, ...]
    batch_outputs: Mapping[str, str]
    instances: int
    filename: str
    graph_level: int
    parameters: Mapping[str, str]
    accelerators: tuple[str, ...]

    def number(self, key: str) -> int:
        """Integer parameter, 0 when absent. Raises ConfigError for anything but a whole number."""
        text = self.parameters.get(key, "0")
        try:
            return int(text)
        except ValueError:
            raise ConfigError(
                f"{self.name}: parameter '{key}' must be a whole number, not '{text}'"
            ) from None

    def positive(self, key: str, default: float) -> float:
        """Number parameter above 0, `default` when absent. Raises ConfigError for anything else."""
        text = self.parameters.get(key, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ConfigError(f"{self.name}: parameter '{key}' must be a number above 0, not '{text}'")
        return value

    def flag(self, key: str) -> bool | None:
        """Boolean parameter in the C++ backend's spelling (1, 0, true, false); None when absent."""
        text = self.parameters.get(key)
        if text is None:
            return None
        values = {"1": True, "true": True, "0": False, "false": False}
        if text.lower() not in values:
            raise ConfigError(f"{self.name}: parameter '{key}' must be 0 or 1, not '{text}'")
        return values[text.lower()]


def parse_settings(config: Mapping[str, Any]) -> ModelSettings:
    """Read the JSON form of a model configuration. Raises ConfigError."""
    optimization = config.get("optimization") or {}
    accelerators = (optimization.get("execution_accelerators") or {}).get("cpu_execution_accelerator") or []
    return ModelSettings(
        name=config["name"],
        max_batch_size=int(config.get("max_batch_size", 0)),
        inputs=tuple(_tensor(each) for each in config.get("input", ())),
        outputs=tuple(_tensor(each) for each in config.get("output", ())),
        batch_inputs=tuple(_batch_input(each) for each in config.get("batch_input", ())),
        batch_outputs=_batch_outputs(config.get("batch_output", ())),
        instances=max(1, sum(int(group.get("count", 1)) for group in config.get("instance_group", ()))),
        filename=config.get("default_model_filename") or "model.onnx",
        graph_level=int((optimization.get("graph") or {}).get("level", 0)),
        parameters={key: value["string_value"] for key, value in (config.get("parameters") or {}).items()},
        accelerators=tuple(each["name"] for each in accelerators),
    )


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    reshape = entry.get("reshape")
    dims = reshape.get("shape", ()) if reshape else entry.get("dims", ())
    return Tensor(
        name=entry["name"],
        dtype=_dtype(entry["name"], entry["data_type"]),
        dims=tuple(int(dim) for dim in dims),
        ragged=bool(entry.get("allow_ragged_batch", False)),
        optional=bool(entry.get("optional", False)),
    )


def _batch_input(entry: Mapping[str, Any]) -> BatchInput:
    name, kind = entry["target_name"][0], entry.get("kind", "BATCH_ELEMENT_COUNT")
    if entry["data_type"] not in BATCH_INPUT_TYPES:
        raise ConfigError(f"batch_input '{name}' must be TYPE_INT32 or TYPE_FP32, not {entry['data_type']}")
    return BatchInput(
        kind, tuple(entry["target_name"]), NUMPY_TYPES[entry["data_type"]], entry["source_input"][0]
    )


def _batch_outputs(entries: Any) -> dict[str, str]:
    """Only ``BATCH_SCATTER_WITH_INPUT_SHAPE`` exists."""
    return {name: entry["source_input"][0] for entry in entries for name in entry["target_name"]}


def _dtype(name: str, data_type: str) -> np.dtype:
    if data_type not in NUMPY_TYPES:
        raise ConfigError(f"tensor '{name}': {data_type} is not supported by this backend")
    return NUMPY_TYPES[data_type]
