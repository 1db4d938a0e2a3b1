"""One function a precision: checkpoint in, ONNX model out."""

from onnx import ModelProto

from export.checkpoint import Checkpoint
from export.folding import fold
from export.graph import Precision, build_graph


def build_fp32(checkpoint: Checkpoint) -> ModelProto:
    """The folded, packed graph in float32."""
    return build_graph(checkpoint, fold(checkpoint.config, checkpoint.weights), Precision())


# The graph that fp32 is compared with, tensor by tensor, where it fails its check: itself, built anew.
build_fp32_twin = build_fp32
