"""The README of a checkpoint: what it is, what it was trained on and with, what it scores."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCardData

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scikit-learn")
PLOTS = (
    ("curves.png", "Loss and F1 by step"),
    ("confusion.png", "Confusion matrix"),
    ("calibration.png", "Calibration curve"),
    ("values.png", "Predicted and true values"),
    ("length.png", "Accuracy by review length"),
)


FIGURES = {
    "f1": "F1",
    "accuracy": "accuracy",
    "calibration_error": "ECE (15 bins)",
    "r2": "R2, variance explained",
    "error": "root of the mean squared error",
    "absolute_error": "mean absolute error",
}


def environment() -> dict[str, str]:
    """Machine and package versions of this process."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "machine": device,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU ({names[0] if names else platform.machine()})"


def commit() -> str:
    """The commit of the working tree, marked when this package was changed since; "unknown" outside git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head} with changes" if head and _git("status", "--porcelain", "--", ".") else head or "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip()


def model_card(
    title: str,
    summary: str,
    metrics: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
    base_model: str | None = None,
    notes: str = "",
) -> str:
    """Markdown with the hub's header. `metrics`: the content of metrics.json; `notes`: further sections."""
    report = metrics["report"]
    header = ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=base_model,
        tags=["mobilebert"],
    )
    parts = [
        f"---\n{header.to_yaml()}\n---\n\n# {title}\n\n{summary}",
        "## Data\n\n" + _bullets(metrics["data"]),
        f"## Results\n\n{_results(report)}\n\nIntervals are 95%, from 1,000 bootstrap samples of the texts.",
        "\n\n".join(f"![{caption}]({name})" for name, caption in PLOTS if _is_there(name, report)),
        notes,
        _storage(metrics["float16_storage"]) if "float16_storage" in metrics else "",
        "## Training\n\n" + _table(("hyperparameter", "value"), hyperparameters),
        "## Environment\n\n" + _bullets({"commit": metrics["commit"], **metrics["environment"]}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_there(plot: str, report: Mapping[str, Any]) -> bool:
    if plot == "curves.png":
        return True
    part = {"confusion.png": "confusion", "calibration.png": "f1", "length.png": "f1", "values.png": "r2"}
    return part[plot] in report


def _results(report: Mapping[str, Any]) -> str:
    rows = {}
    for key, name in FIGURES.items():
        if figure := report.get(key):
            rows[name] = f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"
    return _table((f"{report['texts']:,} texts", "value (interval)"), rows)


def _storage(report: Mapping[str, Any]) -> str:
    kept = (
        f"F1 {report['f1_float32']:.4f} before and {report['f1_float16']:.4f} after, "
        f"{report['same_label']:.2%} the same labels, logits"
        if "same_label" in report
        else f"R2 {report['r2_float32']:.4f} before and {report['r2_float16']:.4f} after, values"
    )
    return (
        f"## Storage\n\nThe weights are stored in float16, at half the size. On {report['texts']:,} texts: "
        f"{kept} within {report['largest_logit_difference']:.4f}."
    )


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {_plain(value)} |" for name, value in rows.items()])


def _bullets(items: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {_plain(value)}" for name, value in items.items())


def _plain(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
