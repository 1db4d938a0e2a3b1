"""What becomes of a classifier's logits: a head for each problem type, as transformers' pipeline has it.

- single_label_classification: softmax; `probabilities`, which sum to 1
- multi_label_classification: sigmoid; `probabilities`, each by itself, and `labels` above a threshold
- regression: nothing; `values`

`label` and `score` are the best label (regression: target) and its probability or value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from export.builder import GraphBuilder
from export.config import PROBLEM_TYPES, ModelConfig

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


def write_head(g: GraphBuilder, config: ModelConfig) -> list[ValueInfoProto]:
    """Add the head behind the tensor `logits` [rows, labels] float32; returns the graph's outputs."""
    scores = scores_output(config.problem_type)
    if config.problem_type == SINGLE:
        g.node("Softmax", "logits", axis=-1, name=scores)
    else:
        g.node("Sigmoid" if config.problem_type == MULTI else "Identity", "logits", name=scores)
    g.node("ReduceMax", scores, axes=[1], keepdims=1, name="score")
    best = g.node("ArgMax", "logits", axis=1, keepdims=1, name="best")
    names: NDArray[np.object_] = np.array(config.labels, dtype=object)
    table = g.constant("names", names)
    g.node("Gather", table, best, name="label")
    if config.problem_type == MULTI:
        threshold = g.constant("threshold", np.float32(config.threshold))
        nothing = g.constant("no_label", np.array([""], dtype=object))
        above = g.node("GreaterOrEqual", scores, threshold, name="above")
        g.node("Where", above, table, nothing, name="labels")
    return [_value_info(output, len(names)) for output in outputs(config.problem_type)]


def _value_info(output: Output, labels: int) -> ValueInfoProto:
    types = {"STRING": TensorProto.STRING, "FP32": TensorProto.FLOAT}
    shape: list[str | int | None] = ["rows", output.width or labels]
    return helper.make_tensor_value_info(output.name, types[output.data_type], shape)
