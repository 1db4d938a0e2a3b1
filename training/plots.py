"""The four pictures beside a checkpoint: training curves, confusion, calibration, accuracy by length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay

from training.metrics import calibration_bins

INK = "#1f4e79"
ACCENT = "#d1495b"
NO_STAMP = {"Software": None}  # no version in the file: the same figures give the same bytes

mpl.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
)


def save_plots(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    report: Mapping[str, Any],
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
) -> list[Path]:
    """Write curves.png, confusion.png, calibration.png and length.png into `folder`.

    `history`: {"step", "loss"} and {"step", "f1"} records; `report`: from `metrics.evaluate`.
    """
    figures = {
        "curves.png": curves(history),
        **({"confusion.png": confusion(report)} if "confusion" in report else {}),
        "calibration.png": calibration(probabilities, labels, report["calibration_error"]["value"]),
        "length.png": accuracy_by_length(report["accuracy_by_length"]),
    }
    return _save(folder, figures)


def save_value_plots(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    values: NDArray[np.floating[Any]],
    labels: NDArray[np.floating[Any]],
) -> list[Path]:
    """Write curves.png and values.png of a regression; `values`, `labels`: [texts, names]."""
    return _save(folder, {"curves.png": curves(history), "values.png": scatter(names, values, labels)})


def _save(folder: Path, figures: Mapping[str, Figure]) -> list[Path]:
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=110, metadata=NO_STAMP)
    return [folder / name for name in figures]


def curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Training loss (left axis) and held-out F1 or R2 (right axis) by step."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    for key, colour, style in (("loss", INK, "-"), ("eval_loss", INK, "o--")):
        points = [(record["step"], record[key]) for record in history if key in record]
        if points:
            label = "training loss" if key == "loss" else "held-out loss"
            left.plot(
                *zip(*points, strict=True), style, color=colour, linewidth=1.2, markersize=4, label=label
            )
    main, score = ("r2", "R2") if any("r2" in record for record in history) else ("f1", "F1")
    left.set(xlabel="step", ylabel="loss", title=f"Loss and {score} by step")
    right = left.twinx()
    right.grid(visible=False)
    scores = [(record["step"], record[main]) for record in history if main in record]
    if scores:
        right.plot(*zip(*scores, strict=True), "s-", color=ACCENT, markersize=4, label=f"held-out {score}")
    right.set_ylabel(score)
    right.spines["right"].set_visible(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def confusion(report: Mapping[str, Any]) -> Figure:
    """Counts of texts by true and predicted label."""
    names = report["labels"]
    size = 4 + 0.35 * len(names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    display = ConfusionMatrixDisplay(np.array(report["confusion"]), display_labels=names)
    display.plot(ax=axes, cmap="Blues", colorbar=False, values_format="d")
    axes.set_title(f"Confusion, {report['texts']:,} texts")
    return figure


def calibration(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], error: float) -> Figure:
    """Accuracy against mean score by bin; the diagonal is perfect; a dot's area is its share."""
    bins = calibration_bins(probabilities, labels)
    share, right, score = (np.array(column) for column in zip(*bins, strict=True))
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    lowest = min(1 / probabilities.shape[1], score.min(), right.min()) - 0.02
    axes.plot([lowest, 1], [lowest, 1], "--", color="grey", linewidth=1)
    axes.plot(score, right, "-", color=INK, linewidth=1)
    axes.scatter(score, right, s=20 + 400 * share, color=INK, alpha=0.7)
    axes.set(
        xlabel="score of the predicted label",
        ylabel="accuracy",
        title=f"Calibration, ECE {error:.3f} (15 bins)",
        xlim=(lowest, 1.02),
        ylim=(lowest, 1.02),
    )
    return figure


def scatter(
    names: Sequence[str], values: NDArray[np.floating[Any]], labels: NDArray[np.floating[Any]]
) -> Figure:
    """Predicted against true values; the diagonal is perfect."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    ends = [min(labels.min(), values.min()), max(labels.max(), values.max())]
    axes.plot(ends, ends, "--", color="grey", linewidth=1)
    for place, name in enumerate(names):
        axes.scatter(labels[:, place], values[:, place], s=12, alpha=0.5, label=name)
    axes.set(xlabel="true value", ylabel="predicted value", title="Predicted and true values")
    axes.legend(frameon=False)
    return figure


def accuracy_by_length(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy by number of tokens before truncation, with 95% intervals of the binomial."""
    accuracy = np.array([row["accuracy"] for row in rows])
    texts = np.array([row["texts"] for row in rows])
    error = 1.96 * np.sqrt(accuracy * (1 - accuracy) / texts)
    names = [f"{row['tokens']}\n({row['texts']:,})" for row in rows]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(names, accuracy, yerr=error, fmt="o", color=INK, capsize=4)
    axes.set(xlabel="tokens before truncation (texts)", ylabel="accuracy", title="Accuracy by review length")
    axes.margins(x=0.08)
    return figure
