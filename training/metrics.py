"""What a classifier's logits are worth: F1, accuracy, calibration, each with a confidence interval.

report = evaluate(logits, labels, lengths, names)
report["f1"]        # {"value": 0.91, "low": 0.906, "high": 0.914}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import confusion_matrix, f1_score

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]
CALIBRATION_BINS = 15
LENGTH_EDGES = (0, 64, 128, 192, 256, 384, 512)


def f1(labels: IntArray, predicted: IntArray, num_labels: int) -> float:
    """F1 of label 1 for two labels, the mean F1 over labels for more."""
    if num_labels == 2:
        return float(f1_score(labels, predicted, pos_label=1, zero_division=0))
    return float(f1_score(labels, predicted, labels=range(num_labels), average="macro", zero_division=0))


def accuracy(labels: IntArray, predicted: IntArray) -> float:
    """Share of texts whose predicted label is right."""
    return float((labels == predicted).mean())


def calibration_error(probabilities: FloatArray, labels: IntArray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the top label: sum over bins of (share of texts) * |accuracy - score|.

    `probabilities`: [texts, labels]. Bins are `bins` equal widths of [0, 1].
    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks".
    """
    return float(
        sum(
            share * abs(right - score)
            for share, right, score in calibration_bins(probabilities, labels, bins)
        )
    )


def calibration_bins(
    probabilities: FloatArray, labels: IntArray, bins: int = CALIBRATION_BINS
) -> list[tuple[float, float, float]]:
    """(share of texts, accuracy, mean score) of each bin of the top score that is not empty."""
    scores = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((scores * bins).astype(int), bins - 1)
    members = [places == place for place in range(bins)]
    return [
        (float(member.mean()), float(right[member].mean()), float(scores[member].mean()))
        for member in members
        if member.any()
    ]


def bootstrap_interval(
    measure: Callable[[IntArray], float], texts: int, seed: int = 17, samples: int = 1000
) -> tuple[float, float]:
    """95% percentile interval of `measure(rows)` over resampled rows."""
    generator = np.random.default_rng(seed)
    values = [measure(generator.integers(0, texts, texts)) for _ in range(samples)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def temperature(logits: FloatArray, labels: IntArray) -> float:
    """The T > 0 that minimises the cross-entropy of softmax(logits / T); fit it on held-out texts."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def accuracy_by_length(
    labels: IntArray, predicted: IntArray, lengths: IntArray, edges: Sequence[int] = LENGTH_EDGES
) -> list[dict[str, float | int | str]]:
    """Accuracy of texts with `low` < tokens <= `high` for each pair of edges, and beyond the last."""
    rows: list[dict[str, float | int | str]] = []
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        member = (lengths > low) & (lengths <= (high or np.inf))
        if member.any():
            name = f"{low + 1}-{high}" if high else f"over {low}"
            right = accuracy(labels[member], predicted[member])
            rows.append({"tokens": name, "texts": int(member.sum()), "accuracy": right})
    return rows


def evaluate(
    logits: FloatArray, labels: IntArray, lengths: IntArray, names: Sequence[str], seed: int = 17
) -> dict[str, Any]:
    """Every figure of `metrics.json` for `logits` [texts, labels]; `lengths`: tokens before truncation."""
    predicted, probabilities = logits.argmax(axis=1), softmax(logits, axis=1)

    def with_interval(measure: Callable[[IntArray], float]) -> dict[str, float]:
        low, high = bootstrap_interval(measure, len(labels), seed)
        return {"value": measure(np.arange(len(labels))), "low": low, "high": high}

    return {
        "texts": len(labels),
        "f1": with_interval(lambda rows: f1(labels[rows], predicted[rows], len(names))),
        "accuracy": with_interval(lambda rows: accuracy(labels[rows], predicted[rows])),
        "calibration_error": with_interval(lambda rows: calibration_error(probabilities[rows], labels[rows])),
        "confusion": confusion_matrix(labels, predicted, labels=range(len(names))).tolist(),
        "labels": list(names),
        "accuracy_by_length": accuracy_by_length(labels, predicted, lengths),
    }
