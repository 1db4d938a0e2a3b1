"""Figures against brute force, and plots that are drawn from them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import precision_score, recall_score

from training.metrics import (
    accuracy_by_length,
    bootstrap_interval,
    calibration_error,
    evaluate,
    f1,
    temperature,
)
from training.plots import save_plots

GENERATOR = np.random.default_rng(0)


def test_binary_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    labels, predicted = GENERATOR.integers(0, 2, (2, 500))
    precision, recall = precision_score(labels, predicted), recall_score(labels, predicted)
    assert f1(labels, predicted, 2) == pytest.approx(2 * precision * recall / (precision + recall))


def test_f1_of_more_labels_is_the_mean_over_all_of_them() -> None:
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    assert f1(labels, predicted, 4) == pytest.approx((0.5 + 2 / 3 + 0 + 0) / 4)


def test_calibration_error_equals_a_loop_over_bins() -> None:
    probabilities = softmax(GENERATOR.normal(0, 2, (700, 3)), axis=1)
    labels = GENERATOR.integers(0, 3, 700)
    expected = 0.0
    for low in np.arange(15) / 15:
        rows = [i for i, p in enumerate(probabilities.max(axis=1)) if low <= p < low + 1 / 15]
        if rows:
            right = np.mean([probabilities[i].argmax() == labels[i] for i in rows])
            expected += len(rows) / 700 * abs(right - probabilities[rows].max(axis=1).mean())
    assert calibration_error(probabilities, labels) == pytest.approx(expected)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not() -> None:
    certain = np.eye(2)[[0, 1, 1]]
    assert calibration_error(certain, np.array([0, 1, 1])) == 0
    assert calibration_error(certain, np.array([1, 0, 0])) == 1


def test_temperature_undoes_a_scaling_of_calibrated_logits() -> None:
    logits = GENERATOR.normal(0, 1.5, (20000, 2))
    labels = (GENERATOR.random(20000) < softmax(logits, axis=1)[:, 1]).astype(np.int64)
    assert temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)


def test_bootstrap_interval_has_the_width_of_the_binomial() -> None:
    right = GENERATOR.random(2000) < 0.9
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), 2000)
    assert low < right.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 2000), rel=0.15)


def test_accuracy_by_length_leaves_no_text_out() -> None:
    lengths = GENERATOR.integers(2, 1500, 300)
    labels, predicted = GENERATOR.integers(0, 2, (2, 300))
    rows = accuracy_by_length(labels, predicted, lengths)
    assert sum(int(row["texts"]) for row in rows) == 300
    mean = sum(int(row["texts"]) * float(row["accuracy"]) for row in rows) / 300
    assert mean == pytest.approx((labels == predicted).mean())


def test_every_plot_is_drawn_the_same_twice(tmp_path: Path) -> None:
    logits = GENERATOR.normal(0, 2, (200, 3))
    labels = GENERATOR.integers(0, 3, 200)
    report = evaluate(logits, labels, GENERATOR.integers(2, 900, 200), ("a", "b", "c"))
    history = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.7, "f1": 0.5}, {"step": 2, "eval_loss": 0.8}]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        paths = save_plots(folder, history, report, softmax(logits, axis=1), labels)
        assert [path.name for path in paths] == [
            "curves.png",
            "confusion.png",
            "calibration.png",
            "length.png",
        ]
    for path in paths:
        assert (folders[0] / path.name).read_bytes() == path.read_bytes()
