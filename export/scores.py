"""Accuracy and F1 of predicted labels, both as fractions; labels are indices."""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def accuracy(truth: Labels, predicted: Labels) -> float:
    """The share of `predicted` [N] that equals `truth` [N]."""
    return float((truth == predicted).mean())


def f1_score(truth: Labels, predicted: Labels) -> float:
    """F1 of label 1 where there are two labels, else the mean of all labels' F1 (macro)."""
    present = sorted(set(truth.tolist()) | set(predicted.tolist()))
    classes = [1] if max(present) <= 1 else present
    return float(np.mean([_f1_of(truth == label, predicted == label) for label in classes]))


def _f1_of(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    found = truth.sum() + predicted.sum()
    return 2 * float((truth & predicted).sum()) / float(found) if found else 0.0
