"""The head of the graph: from logits to the outputs of `checkpoint.problem_types`."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from export.checkpoint.config import ModelConfig
from export.checkpoint.problem_types import MULTI, SINGLE, Output, outputs, scores_output
from export.graph.builder import GraphBuilder


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
