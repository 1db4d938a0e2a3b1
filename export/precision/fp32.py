"""The fp32 precision: the graph as it is, which the other precisions are compared with."""

from onnx import ModelProto

from export.checkpoint.reading import Checkpoint
from export.graph.assembly import Precision, build_graph
from export.graph.folding import fold


def build_fp32(checkpoint: Checkpoint) -> ModelProto:
    """The folded, packed graph in float32."""
    return build_graph(checkpoint, fold(checkpoint.config, checkpoint.weights), Precision())


# Where fp32 fails the gate, its tensors are compared with those of the same graph, built again.
build_fp32_twin = build_fp32
