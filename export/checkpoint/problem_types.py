"""What a classifier of each problem type answers, as transformers' pipeline has it.

- single_label_classification: softmax; `probabilities`, which sum to 1
- multi_label_classification: sigmoid; `probabilities`, each by itself, and `labels` above a threshold
- regression: nothing; `values`

`label` and `score` are the best label (regression: target) and its probability or value. `graph.heads` writes
this into the graph. This module needs no onnx, because configurations and `bulk` need only the names.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.config import PROBLEM_TYPES

SINGLE, MULTI, REGRESSION = PROBLEM_TYPES
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Output:
    """One output of a served model; `width` counts labels where it is 0."""

    name: str
    data_type: str
    width: int = 0


def scores_output(problem_type: str) -> str:
    """The output that holds what the problem type's function makes of the logits."""
    return "values" if problem_type == REGRESSION else "probabilities"


def outputs(problem_type: str) -> list[Output]:
    """The outputs of a model of this problem type, in the order of its signature."""
    named = [Output("labels", "STRING")] if problem_type == MULTI else []
    return [
        Output("label", "STRING", 1),
        Output("score", "FP32", 1),
        Output(scores_output(problem_type), "FP32"),
        *named,
        Output("logits", "FP32"),
    ]


def apply(problem_type: str, logits: Scores) -> Scores:
    """What the graph computes from logits [rows, labels], for checks: softmax, sigmoid, or the logits."""
    if problem_type == REGRESSION:
        return logits
    if problem_type == MULTI:
        return 1 / (1 + np.exp(-logits))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
