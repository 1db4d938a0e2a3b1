"""How good a classifier's logits are: F1, accuracy, calibration, each with a confidence interval.

report = evaluate(logits, labels, lengths, names)
report["f1"]        # {"value": 0.91, "low": 0.906, "high": 0.914}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
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


def f1_of_logits(logits: FloatArray, labels: NDArray[Any]) -> float:
    """F1 of logits [texts, labels]: `f1`, or of 0/1 `labels` [texts, labels] that of all decisions."""
    if labels.ndim == 1:
        return f1(labels, logits.argmax(axis=1), logits.shape[1])
    return float(f1_score(labels > 0.5, logits >= 0, average="micro", zero_division=0))


def accuracy_of_logits(logits: FloatArray, labels: NDArray[Any]) -> float:
    """Share of texts whose label, or whose every label, is right."""
    if labels.ndim == 1:
        return accuracy(labels, logits.argmax(axis=1))
    return float(((labels > 0.5) == (logits >= 0)).all(axis=1).mean())


def scored(logits: FloatArray, labels: NDArray[Any]) -> tuple[FloatArray, IntArray]:
    """Probabilities [rows, classes] and true classes [rows], for calibration.

    A row is a text; where texts may have several labels, a row is one decision on one label: no or yes.
    """
    if labels.ndim == 1:
        return softmax(logits, axis=1), labels
    yes = expit(logits).reshape(-1)
    return np.stack([1 - yes, yes], axis=1), (labels.reshape(-1) > 0.5).astype(np.int64)


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
    logits: FloatArray, labels: NDArray[Any], lengths: IntArray, names: Sequence[str], seed: int = 17
) -> dict[str, Any]:
    """Every figure of `metrics.json` for `logits` [texts, labels]; `lengths`: tokens before truncation.

    `labels`: int64 [texts], or 0/1 [texts, labels] where a text may have several. Then F1 is that of all
    decisions, accuracy counts texts whose every label is right, and F1 by label takes confusion's place.
    """

    def with_interval(measure: Callable[[IntArray], float]) -> dict[str, float]:
        low, high = bootstrap_interval(measure, len(labels), seed)
        return {"value": measure(np.arange(len(labels))), "low": low, "high": high}

    return {
        "texts": len(labels),
        "f1": with_interval(lambda rows: f1_of_logits(logits[rows], labels[rows])),
        "accuracy": with_interval(lambda rows: accuracy_of_logits(logits[rows], labels[rows])),
        "calibration_error": with_interval(
            lambda rows: calibration_error(*scored(logits[rows], labels[rows]))
        ),
        **_by_label(logits, labels, names),
        "labels": list(names),
        "accuracy_by_length": accuracy_by_length(*_rightness(logits, labels), lengths),
    }


def _by_label(logits: FloatArray, labels: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    if labels.ndim == 1:
        predicted = logits.argmax(axis=1)
        return {"confusion": confusion_matrix(labels, predicted, labels=range(len(names))).tolist()}
    scores = f1_score(labels > 0.5, logits >= 0, average=None, zero_division=0)
    return {"f1_by_label": dict(zip(names, map(float, scores), strict=True))}


def _rightness(logits: FloatArray, labels: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Labels and predictions to compare text by text; with several labels a text counts as right or not."""
    if labels.ndim == 1:
        return labels, logits.argmax(axis=1)
    right = ((labels > 0.5) == (logits >= 0)).all(axis=1)
    return np.ones(len(labels), np.int64), right.astype(np.int64)
