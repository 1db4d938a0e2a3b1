"""Accuracy and F1 of predicted labels, as fractions, and the error of predicted values.

Labels are indices [N], or zeros and ones [N, labels] where a text may have several.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def accuracy(truth: Labels, predicted: Labels) -> float:
    """The share of texts whose label, or whose every label, is right."""
    return float((truth == predicted).reshape(len(truth), -1).all(axis=1).mean())


def f1_score(truth: Labels, predicted: Labels) -> float:
    """F1 of label 1 where there are two labels, else the mean of all labels' F1 (macro); of several labels a
    text that of all decisions (micro)."""
    if truth.ndim > 1:
        return _f1_of(truth == 1, predicted == 1)
    present = sorted(set(truth.tolist()) | set(predicted.tolist()))
    classes = [1] if max(present) <= 1 else present
    return float(np.mean([_f1_of(truth == label, predicted == label) for label in classes]))


def root_mean_square(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The root of the mean squared error of `predicted` [N, targets]."""
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def _f1_of(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    found = truth.sum() + predicted.sum()
    return 2 * float((truth & predicted).sum()) / float(found) if found else 0.0
