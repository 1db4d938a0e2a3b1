"""What the label column of a labelled file says, for each problem type.

- single_label_classification: one label, by name or by index
- multi_label_classification: any number of them: a list, a JSON list, or names with a separator between them
- regression: a number, or a list of them, one a target
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.config import ModelConfig
from export.checkpoint.problem_types import MULTI, REGRESSION
from export.errors import DataError


def read_truth(
    values: Sequence[Any], places: Sequence[str], config: ModelConfig, separator: str = "|"
) -> NDArray[Any]:
    """Indices int64 [N], zeros and ones int64 [N, labels], or float64 [N, targets].

    `places` [N]: what to call each value in a message. `separator`: between the labels of one string.

    Raises:
        DataError: a value is unknown, or of the wrong kind.
    """
    pairs = list(zip(values, places, strict=True))
    if config.problem_type == REGRESSION:
        return np.array([_numbers(value, len(config.labels), place) for value, place in pairs])
    if config.problem_type == MULTI:
        truth = np.zeros((len(pairs), len(config.labels)), dtype=np.int64)
        for row, (value, place) in enumerate(pairs):
            truth[row, [_index(each, config.labels, place) for each in _several(value, separator)]] = 1
        return truth
    return np.array([_index(value, config.labels, place) for value, place in pairs], dtype=np.int64)


def _index(value: Any, labels: Sequence[str], place: str) -> int:
    if str(value) in labels:
        return labels.index(str(value))
    if str(value).isdecimal() and int(value) < len(labels):
        return int(value)
    raise DataError(f"{place}: label {value!r} is none of {', '.join(labels)}")


def _numbers(value: Any, targets: int, place: str) -> list[float]:
    try:
        numbers = [float(each) for each in _several(value)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != targets or not all(map(math.isfinite, numbers)):
        wanted = "a number" if targets == 1 else f"a list of {targets} numbers"
        raise DataError(f"{place}: the label of a regression is {value!r}: it must be {wanted}")
    return numbers


def _several(value: Any, separator: str = "") -> list[Any]:
    """The members of a list, of a list that is written as JSON, or of names with a separator between them."""
    if isinstance(value, list | tuple | np.ndarray):
        return list(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return list(json.loads(value))
        except ValueError:
            pass
    if isinstance(value, str) and separator:
        return [each.strip() for each in value.split(separator) if each.strip()]
    return [value]
