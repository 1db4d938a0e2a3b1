"""The fp32 precision: the graph as it is, and what the other precisions are held against."""

from onnx import ModelProto

from export.checkpoint.reading import Checkpoint
from export.graph.assembly import Precision, build_graph
from export.graph.folding import fold


def build_fp32(checkpoint: Checkpoint) -> ModelProto:
    """The folded, packed graph in float32."""
    return build_graph(checkpoint, fold(checkpoint.config, checkpoint.weights), Precision())


# The graph that fp32 is compared with, tensor by tensor, where it fails its check: itself, built anew.
build_fp32_twin = build_fp32
