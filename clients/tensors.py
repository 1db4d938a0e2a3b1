"""Texts to the tensors of a request, tensors of a response to sentiments. The same for HTTP and gRPC."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ServerError, UnsuitableModel
from .sentiment import Sentiment

INPUT = "text"
REQUIRED = ("label", "score", "num_tokens", "truncated")
# An output with a row for each text: an array [texts, width], or lists.
Rows = np.ndarray | Sequence[Sequence[Any]]
# What a classifier gives for all of its labels, and a regression for all of its targets.
SCORES = ("probabilities", "values")


def text_tensor(texts: Sequence[str]) -> np.ndarray:
    """BYTES tensor [len(texts), 1], object dtype, UTF-8."""
    return np.array([[text.encode()] for text in texts], dtype=np.object_)


def read_sentiments(output: Callable[[str], Rows | None], rows: int) -> list[Sentiment]:
    """Turns the outputs of a response (`output`: name -> its rows) into sentiments.

    Raises ServerError when an output is missing or has another number of rows.
    """
    scores = "values" if output("values") is not None else "probabilities"
    columns = {name: _rows(name, output(name), rows) for name in (*REQUIRED, scores)}
    windows = output("num_windows")  # older servers have none: they read one window
    windows = [[1]] * rows if windows is None else _rows("num_windows", windows, rows)
    labels = None if output("labels") is None else _rows("labels", output("labels"), rows)
    return [
        Sentiment(
            label=_as_str(columns["label"][row][0]),
            score=float(columns["score"][row][0]),
            num_tokens=int(columns["num_tokens"][row][0]),
            truncated=bool(columns["truncated"][row][0]),
            num_windows=int(windows[row][0]),
            labels=None if labels is None else tuple(name for name in map(_as_str, labels[row]) if name),
            **{"probabilities": (), scores: tuple(float(value) for value in columns[scores][row])},
        )
        for row in range(rows)
    ]


def read_batch_size(config: Mapping[str, Any]) -> int:
    """The max_batch_size of a model config (the JSON form); raises UnsuitableModel for a wrong signature."""
    name = config.get("name", "?")
    inputs = {tensor["name"] for tensor in config.get("input", [])}
    outputs = {tensor["name"] for tensor in config.get("output", [])}
    batch_size = int(config.get("max_batch_size", 0))
    fits = outputs.issuperset(REQUIRED) and not outputs.isdisjoint(SCORES)
    if inputs != {INPUT} or not fits or batch_size < 1:
        raise UnsuitableModel(
            f"model {name!r} does not map a text to a label; use an ensemble such as 'sentiment'"
        )
    return batch_size


def read_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of an ensemble's labels, in the order of `probabilities` or `values`; may be empty."""
    return tuple(map(str, json.loads(read_parameter(config, "labels") or "[]")))


def read_parameter(config: Mapping[str, Any], name: str) -> str:
    """A parameter of a model config (the JSON form); empty where it is not set."""
    return str(config.get("parameters", {}).get(name, {}).get("string_value", ""))


def _rows(name: str, found: Rows | None, rows: int) -> Rows:
    if found is None or len(found) != rows or getattr(found, "ndim", 2) != 2:
        what = "no such output" if found is None else f"shape {list(np.shape(found))}"
        raise ServerError(f"the server's answer to {rows} texts has {what} for {name!r}")
    return found


def _as_str(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
