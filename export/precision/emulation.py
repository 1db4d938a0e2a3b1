"""What a GPU computes from a half-precision graph, on a CPU.

ONNX Runtime's CPU provider runs half-precision products in float32 and keeps their results there, so neither
rounding nor overflow of a float16 graph shows on it. Here every float16 tensor becomes a float32 tensor that
is rounded to half precision and back, and the provider keeps that: what overflows on a GPU becomes infinite
here.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def emulate_half(model: ModelProto) -> ModelProto:
    """A float32 copy of `model` that rounds, after every node, what `model` keeps in float16."""
    copy = ModelProto()
    copy.CopyFrom(model)
    halves = set()
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            halves.add(tensor.name)
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
            )
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        nodes += _rounded(node, halves)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _rounded(node: NodeProto, halves: set[str]) -> list[NodeProto]:
    """The node, and casts behind it if its results are float16; adds those to `halves`."""
    if not _gives_half(node, halves):
        return [node]
    halves.update(node.output)
    if node.op_type == "Cast":
        return _round_trip(node.input[0], node.output[0])
    casts = [cast for name in node.output for cast in _round_trip(f"{name}.exact", name)]
    exact = [f"{name}.exact" for name in node.output]
    node.output[:] = exact
    return [node, *casts]


def _gives_half(node: NodeProto, halves: set[str]) -> bool:
    if node.op_type == "Cast":
        return next(a.i for a in node.attribute if a.name == "to") == TensorProto.FLOAT16
    return any(name in halves for name in node.input)


def _round_trip(source: str, target: str) -> list[NodeProto]:
    half = f"{target}.half"
    return [
        helper.make_node("Cast", [source], [half], f"{half}/Cast", to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [target], f"{target}/Cast", to=TensorProto.FLOAT),
    ]
