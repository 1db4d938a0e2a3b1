"""From the requests of a batch to the model's inputs, and from the model's outputs back to the requests.

A request is a mapping from input name to array, with the batch dimension first where the model batches. The
rules, and the values of every ``batch_input`` kind, are those of Triton's C++ backends
(``backend_input_collector.cc`` and ``backend_output_responder.cc`` in triton-inference-server/backend).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serving.onnxruntime_backend.settings import BatchInput, ConfigError, ModelSettings, Tensor

Request = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]
Outcome = Outputs | Exception


class RequestError(ValueError):
    """A request does not fit the model. The message is for the client."""


def gather(requests: Sequence[Request], settings: ModelSettings) -> dict[str, np.ndarray]:
    """Inputs of one model run, batch inputs included.

    Ragged inputs become one rank-1 tensor, all elements of all requests in order; the others are concatenated
    along the batch dimension. Nothing is copied for a single request. Raises RequestError where requests
    differ in shape or in the optional inputs that they carry.
    """
    feeds = {
        tensor.name: _join(tensor, requests)
        for tensor in settings.inputs
        if not (tensor.optional and all(tensor.name not in request for request in requests))
    }
    for batch_input in settings.batch_inputs:
        shapes = [request[batch_input.source].shape for request in requests]
        value = BATCH_INPUTS[batch_input.kind](shapes, batch_input.dtype)
        feeds.update(dict.fromkeys(batch_input.targets, value))
    return feeds


def _join(tensor: Tensor, requests: Sequence[Request]) -> np.ndarray:
    missing = [number for number, request in enumerate(requests) if tensor.name not in request]
    if missing:
        raise RequestError(f"input '{tensor.name}' is missing")
    arrays = [request[tensor.name] for request in requests]
    if tensor.dtype == np.object_:
        arrays = [_decode(tensor.name, array) for array in arrays]
    if tensor.ragged:
        arrays = [array.reshape(-1) for array in arrays]
    if len(arrays) == 1:
        return arrays[0]
    try:
        return np.concatenate(arrays)
    except ValueError:
        raise RequestError(f"input '{tensor.name}' has another shape than its batch") from None


def _decode(name: str, array: np.ndarray) -> np.ndarray:
    """Triton's strings are bytes; ONNX Runtime's Python interface takes `str`, and would quote bytes."""
    try:
        return np.array([text.decode() for text in array.ravel()], np.object_).reshape(array.shape)
    except UnicodeDecodeError:
        raise RequestError(f"input '{name}' is not valid UTF-8") from None


def rows(request: Request, settings: ModelSettings) -> int:
    """Size of a request's batch dimension: that of its first input."""
    return next(iter(request.values())).shape[0] if settings.max_batch_size else 1


def row_lengths(ids: np.ndarray, padding: int | None) -> list[int]:
    """Elements of each row [rows, longest] that cost something: without the `padding` at its end."""
    if len(ids) < 2:
        return [ids.size]
    if padding is None:
        return [ids[0].size] * len(ids)
    columns = np.arange(1, ids[0].size + 1)
    return np.where(ids != padding, columns, 1).max(axis=1, initial=1).tolist()


def scatter(
    outputs: Mapping[str, np.ndarray], requests: Sequence[Request], settings: ModelSettings
) -> list[Outputs]:
    """Each request's share of the outputs, as views.

    Raises RequestError when an output has not one row per row of the batch: its rows might reach the wrong
    client.
    """
    if not settings.max_batch_size:
        return [dict(outputs)]
    counts = [rows(request, settings) for request in requests]
    shares: list[Outputs] = [{} for _ in requests]
    for name, value in outputs.items():
        parts = _parts(name, value, counts, requests, settings)
        for share, part in zip(shares, parts, strict=True):
            share[name] = part
    return shares


def _parts(
    name: str, value: np.ndarray, counts: list[int], requests: Sequence[Request], settings: ModelSettings
) -> list[np.ndarray]:
    if name in settings.batch_outputs:
        sources = [request[settings.batch_outputs[name]].shape for request in requests]
        return _parts_by_input_shape(name, value, sources, settings)
    if value.shape[:1] != (sum(counts),):
        raise RequestError(f"output '{name}' has shape {list(value.shape)} for a batch of {sum(counts)} rows")
    return np.split(value, np.cumsum(counts)[:-1]) if len(counts) > 1 else [value]


def _parts_by_input_shape(
    name: str, value: np.ndarray, sources: list[tuple[int, ...]], settings: ModelSettings
) -> list[np.ndarray]:
    """BATCH_SCATTER_WITH_INPUT_SHAPE: an output's free dimensions are those of its source input."""
    dims = next(tensor.dims for tensor in settings.outputs if tensor.name == name)
    shapes = [
        (shape[0], *(shape[axis] if dim == -1 else dim for axis, dim in enumerate(dims, start=1)))
        for shape in sources
    ]
    sizes = [int(np.prod(shape)) for shape in shapes]
    if value.size != sum(sizes):
        raise RequestError(
            f"output '{name}' has {value.size} elements, its source inputs ask for {sum(sizes)}"
        )
    flat = np.split(value.reshape(-1), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(flat, shapes, strict=True)]


Shapes = Sequence[tuple[int, ...]]


def _element_count(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[requests]: elements of each request, its batch dimension included."""
    return np.array([np.prod(shape, dtype=np.int64) for shape in shapes], dtype)


def _accumulated(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[requests]: where each request ends in the concatenated input."""
    return np.cumsum(_element_count(shapes, np.dtype(np.int64))).astype(dtype)


def _accumulated_with_zero(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[requests + 1]: the same, after a leading 0."""
    return np.concatenate([np.zeros(1, dtype), _accumulated(shapes, dtype)])


def _max_element_count_as_shape(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[largest element count of a request]: only the shape counts, the values mean nothing."""
    return np.zeros(int(_element_count(shapes, np.dtype(np.int64)).max()), dtype)


def _item_shape(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[rows, rank]: each row's shape without the batch dimension, once per row of its request."""
    counts = [shape[0] for shape in shapes]
    return np.repeat(np.array([shape[1:] for shape in shapes], dtype), counts, axis=0)


def _item_shape_flatten(shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """[rows * rank]: BATCH_ITEM_SHAPE, flattened."""
    return _item_shape(shapes, dtype).reshape(-1)


BATCH_INPUTS: dict[str, Callable[[Shapes, np.dtype], np.ndarray]] = {
    "BATCH_ELEMENT_COUNT": _element_count,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": _accumulated,
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": _accumulated_with_zero,
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": _max_element_count_as_shape,
    "BATCH_ITEM_SHAPE": _item_shape,
    "BATCH_ITEM_SHAPE_FLATTEN": _item_shape_flatten,
}


def check_batch_inputs(batch_inputs: Sequence[BatchInput], inputs: Sequence[Tensor]) -> None:
    """Raises ConfigError for an unknown kind or a source that is no input."""
    names = {tensor.name for tensor in inputs}
    for each in batch_inputs:
        if each.kind not in BATCH_INPUTS:
            raise ConfigError(f"batch_input '{each.targets[0]}': unknown kind {each.kind}")
        if each.source not in names:
            raise ConfigError(
                f"batch_input '{each.targets[0]}': source_input '{each.source}' is not an input"
            )
