"""Write a whole checkpoint folder: weights, tokenizer, metrics, model card, plots, golden texts and ranges.

The folder appears at once, complete, or not at all. What it holds is what `python -m export` reads.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

import durable
from training.golden import write_golden
from training.metrics import evaluate, f1_of_logits, scored
from training.plots import save_plots, save_value_plots
from training.ranges import measure_ranges, write_ranges
from training.regression import evaluate_values, explained

Logits = NDArray[np.float32]
Predict = Callable[[PreTrainedModel, Sequence[int]], Logits]
STORAGE_SAMPLE = 2000


@dataclass(frozen=True)
class Evaluation:
    """Texts that a checkpoint is reported on: `labels` [n], `lengths` [n] in tokens before truncation.

    `labels` is 0/1 [n, labels] where a text may have several, and float [n, targets] of a `regression`.
    """

    name: str
    labels: NDArray[Any]
    lengths: NDArray[np.int64]
    label_names: tuple[str, ...]
    regression: bool = False

    def report(self, logits: Logits) -> dict[str, Any]:
        """Every figure of metrics.json for `logits` [n, labels]."""
        if self.regression:
            return evaluate_values(logits, self.labels, self.label_names)
        return evaluate(logits, self.labels, self.lengths, self.label_names)


def as_stored(model: PreTrainedModel, half: bool) -> PreTrainedModel:
    """A float32 copy of `model` whose weights are what its file will hold (rounded to float16 if `half`)."""
    stored = copy.deepcopy(model).cpu().float().eval()
    return stored.half().float() if half else stored


def storage_report(
    full: Logits, stored: Logits, labels: NDArray[Any], regression: bool = False
) -> dict[str, float]:
    """What half precision cost: F1 (R2) before and after, agreement of labels, largest difference."""
    difference = float(np.abs(full - stored).max())
    if regression:
        scores = {"r2_float32": explained(full, labels), "r2_float16": explained(stored, labels)}
        return {"texts": len(labels), **scores, "largest_logit_difference": difference}
    several = labels.ndim > 1
    same = ((full >= 0) == (stored >= 0)).all(axis=1) if several else full.argmax(1) == stored.argmax(1)
    return {
        "texts": len(labels),
        "f1_float32": f1_of_logits(full, labels),
        "f1_float16": f1_of_logits(stored, labels),
        "same_label": float(same.mean()),
        "largest_logit_difference": difference,
    }


def write_checkpoint(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    range_texts: Sequence[Sequence[int]],
    predict: Predict,
    evaluation: Evaluation,
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    card: Callable[[Mapping[str, Any]], str],
    half: bool,
) -> tuple[dict[str, Any], Logits]:
    """Write the folder `path`. Return the content of its metrics.json, and the logits behind its figures.

    `predict` gives a model's logits of the chosen rows of `evaluation`; the weights are those stored. The
    cost of half precision is measured on some 2,000 rows.
    `range_texts`: token ids that the activation ranges are measured on. `card` turns metrics into Markdown.
    """
    stored = as_stored(model, half)
    rows = range(len(evaluation.labels))
    logits = predict(stored, rows)
    report = evaluation.report(logits)
    content = {**metrics, "evaluated_on": evaluation.name, "report": report}
    if half:
        sample = rows[:: max(1, len(rows) // STORAGE_SAMPLE)]  # evenly spaced: a file may be sorted by label
        full = predict(as_stored(model, half=False), sample)
        content["float16_storage"] = storage_report(
            full, logits[sample], evaluation.labels[sample], evaluation.regression
        )
    with durable.new_folder(path) as folder:
        _save_weights(folder, stored, tokenizer, half)
        reloaded = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        write_ranges(folder, *measure_ranges(reloaded, range_texts))
        write_golden(folder)
        if evaluation.regression:
            save_value_plots(folder, history, evaluation.label_names, logits, evaluation.labels)
        else:
            save_plots(folder, history, report, *scored(logits, evaluation.labels))
        durable.write_text(folder / "metrics.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        durable.write_text(folder / "README.md", card(content))
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors lets only the owner read its file
    return content, logits


def _save_weights(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, half: bool
) -> None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # a call decides on padding and truncation, not the file
        backend.no_padding()
        backend.no_truncation()
    tokenizer.save_pretrained(folder)
    saved = copy.deepcopy(model).half() if half else model
    saved.save_pretrained(folder)
