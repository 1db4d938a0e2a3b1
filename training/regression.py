"""Numbers as labels: read, brought to one unit for training, and judged.

content, names = numbers(column, ("stars",))       # float32 [rows, targets]
unit = Unit.of(content)
... train on unit.standard(content) ...
unit.restore(model)                                # it then answers in the labels' own unit
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.labels import LabelColumn, is_missing
from training.metrics import FloatArray, bootstrap_interval
from training.tables import DataError

SHOWN = 40


def numbers(column: LabelColumn, names: tuple[str, ...]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The column's numbers, or lists of numbers, float32 [rows, names]; and their names. Raises `DataError`.

    One name stands for all of several targets: `stars 0`, `stars 1`.
    """
    lists = [_list(value, row, column.source) for value, row in zip(column.values, column.rows, strict=True)]
    width = len(lists[0])
    for row, several in zip(column.rows, lists, strict=True):
        if len(several) != width:
            raise DataError(
                f"{column.source}, row {row}: {len(several)} numbers, where row {column.rows[0]} has {width}."
            )
    known = names if len(names) == width else tuple(f"{names[0]} {place}" for place in range(width))
    if len(names) not in (1, width):
        raise DataError(f"--labels names {len(names)} numbers; {column.source} has {width} a row.")
    content = np.array(lists, np.float32)
    for name, values in zip(known, content.T, strict=True):
        if values.min() == values.max():
            raise DataError(
                f"{column.source}: {name} is {values[0]:g} in every row; there is nothing to learn."
            )
    return content, known


def _list(value: Any, row: int, source: str) -> list[float]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values or any(map(is_missing, values)):
        raise DataError(f"{source}, row {row}: the label is missing.")
    return [_number(each, row, source) for each in values]


def _number(value: Any, row: int, source: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{source}, row {row}: the label is {str(value)[:SHOWN]!r}, not a number (with a point, as 3.5)."
        )
    return number


@dataclass(frozen=True)
class Unit:
    """`mean`, `deviation`: float32 [targets] of the texts to train on."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, labels: NDArray[np.float32]) -> Unit:
        """The unit of `labels` [texts, targets]."""
        return cls(labels.mean(axis=0), np.maximum(labels.std(axis=0), 1e-6))

    def standard(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """`labels` with mean 0 and deviation 1, so that targets of any size are learnt equally well."""
        return (labels - self.mean) / self.deviation

    @torch.no_grad()
    def restore(self, classifier: nn.Linear) -> None:
        """Have the classifier answer in the labels' own unit: W' = d W, b' = d b + m."""
        mean, deviation = (
            torch.from_numpy(each).to(classifier.bias.device) for each in (self.mean, self.deviation)
        )
        classifier.weight.mul_(deviation[:, None])
        classifier.bias.mul_(deviation).add_(mean)


def explained(values: FloatArray, labels: FloatArray) -> float:
    """R2: the share of the labels' variance that `values` [texts, targets] explain, the targets' mean."""
    left = ((labels - values) ** 2).mean(axis=0)
    spread = labels.var(axis=0)
    return float(np.mean(np.where(spread > 0, 1 - left / np.maximum(spread, 1e-30), 0)))


def error(values: FloatArray, labels: FloatArray) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(((labels - values) ** 2).mean()))


def absolute_error(values: FloatArray, labels: FloatArray) -> float:
    """The mean absolute error."""
    return float(np.abs(labels - values).mean())


def evaluate_values(
    values: FloatArray, labels: FloatArray, names: Sequence[str], seed: int = 17
) -> dict[str, Any]:
    """Every figure of `metrics.json` for a regression's `values` [texts, targets]."""
    values, labels = values.astype(float), labels.astype(float)

    def with_interval(measure: Callable[[FloatArray, FloatArray], float]) -> dict[str, float]:
        low, high = bootstrap_interval(lambda rows: measure(values[rows], labels[rows]), len(labels), seed)
        return {"value": measure(values, labels), "low": low, "high": high}

    return {
        "texts": len(labels),
        "r2": with_interval(explained),
        "error": with_interval(error),
        "absolute_error": with_interval(absolute_error),
        "labels": list(names),
    }
