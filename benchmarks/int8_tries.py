"""Changes to the int8 graph that were tried and left: `python -m benchmarks.int8_tries [--layers 24]`.

Each is measured alone against the graph that is published, in turn, on rows of one length.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper
from rich.console import Console
from rich.table import Table

from benchmarks.rivals.graphs_in_turn import deepened, times
from benchmarks.rivals.openvino_encoder import open_session, with_nodes, with_plain_attention
from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.graph.algebra import Linear
from export.graph.assembly import KEY, QUERY, VALUE, build_graph
from export.graph.builder import CONTRIB, GraphBuilder
from export.precision.int8 import Int8, Int8Options, build_int8, quantized_parts

PUBLISHED = "published"
SHAPES = {"1 x 128 tokens": [128], "1 x 285 tokens": [285], "1 x 512 tokens": [512], "4 x 128": [128] * 4}
PARTS = {"query": QUERY, "key": KEY, "value": VALUE}
# Of queries and keys as 8-bit codes. Products take the same time whatever the scale is.
SCORE_SCALE = 0.05


class SumsInCodes(Int8):
    """The residual sums of the feed-forward blocks as QLinearAdd, on codes of 8 bits."""

    def linear(
        self,
        g: GraphBuilder,
        name: str,
        x: str,
        dense: Linear,
        residual: str | None = None,
        relu: bool = False,
    ) -> str:
        if residual and ".ffn" in name and name not in self._keep:
            return self._sum(g, name, x, dense, residual)
        in_float = self._decoded(g, residual) if residual else None
        return super().linear(g, name, x, dense, in_float, relu)

    def _sum(self, g: GraphBuilder, name: str, x: str, dense: Linear, residual: str) -> str:
        weight = self.weight(g, name, x, dense, transpose=True)
        after = self.scale_and_zero(g, name)
        inputs = (self.encoded(g, x), *self.scale_and_zero(g, x), *weight, *after)
        product = g.node("QGemm", *inputs, domain=CONTRIB, name=f"{name}.product")
        addend = (self.encoded(g, residual), *self.scale_and_zero(g, residual))
        self._codes[name] = g.node("QLinearAdd", product, *after, *addend, *after, domain=CONTRIB, name=name)
        return name


def tries(checkpoint: Checkpoint) -> dict[str, ModelProto]:
    """Graphs by name, `PUBLISHED` first. All but that answer rows of one length only."""
    published = build_int8(checkpoint)
    parts = quantized_parts(checkpoint, Int8Options())
    return {
        PUBLISHED: published,
        "attention without a mask": without_mask(published),
        "attention without a mask and gathers": without_gathers(without_mask(published)),
        "attention's scores in 8 bits": with_integer_scores(published),
        "residual sums in 8 bits (QLinearAdd)": build_graph(checkpoint, parts[0], SumsInCodes(*parts[1:])),
    }


def without_mask(model: ModelProto) -> ModelProto:
    """No lengths for attention: ONNX Runtime takes its flash kernel."""
    return with_nodes(model, map(_unmasked, model.graph.node), {})


def _unmasked(node: NodeProto) -> NodeProto:
    if node.op_type != "MultiHeadAttention":
        return node
    changed = NodeProto()
    changed.CopyFrom(node)
    del changed.input[3:]
    return changed


def without_gathers(model: ModelProto) -> ModelProto:
    """Queries, keys and values of all layers but the last are slices: rows of one length need no grid."""
    numbers = {"width": [-1], "axes": [0], "stop": [2**31 - 1], "step": [4]}
    numbers |= {part: [start] for part, start in PARTS.items()}
    constants = {f"tries/{name}": np.array(value) for name, value in numbers.items()}
    return with_nodes(model, _sliced(model), constants)


def _sliced(model: ModelProto) -> Iterator[NodeProto]:
    for node in model.graph.node:
        layer, _, part = node.output[0].partition(".")
        if node.output[0] == "packed/gather":
            yield node
            yield helper.make_node("Shape", ["packed/gather"], ["tries/grid"])
            yield helper.make_node("Concat", ["tries/grid", "tries/width"], ["tries/shape"], axis=0)
        elif node.op_type != "Gather" or not re.fullmatch(r"layer\d+", layer):
            yield node
        elif part == "context":
            yield helper.make_node("Identity", node.input[:1], node.output)
        elif part in PARTS and node.input[1].startswith("packed/part"):
            bounds = [f"tries/{name}" for name in (part, "stop", "axes", "step")]
            yield helper.make_node("Slice", [node.input[0], *bounds], [f"{node.output[0]}.sliced"])
            yield helper.make_node("Reshape", [f"{node.output[0]}.sliced", "tries/shape"], node.output)
        else:
            yield node


def with_integer_scores(model: ModelProto) -> ModelProto:
    """Queries times keys as MatMulIntegerToFloat on each head, without a mask; softmax and values in fp32."""
    plain = with_plain_attention(model)
    constants = {
        "tries/scale": np.float32(SCORE_SCALE),
        "tries/zero": np.uint8(128),
        "tries/none": np.int8(0),
    }
    return with_nodes(plain, _integer(plain), constants)


def _integer(model: ModelProto) -> Iterator[NodeProto]:
    for node in model.graph.node:
        if node.output[0].endswith("/products"):
            query, key = (f"{each}.codes" for each in node.input)
            yield helper.make_node("QuantizeLinear", [node.input[0], "tries/scale", "tries/zero"], [query])
            yield helper.make_node("QuantizeLinear", [node.input[1], "tries/scale", "tries/none"], [key])
            scales = ["tries/scale", "tries/scale", "tries/zero", "tries/none"]
            yield helper.make_node("MatMulIntegerToFloat", [query, key, *scales], node.output, domain=CONTRIB)
        elif node.output[0].endswith("/masked"):
            yield helper.make_node("Identity", node.input[:1], node.output)
        else:
            yield node


def main(
    checkpoint: Annotated[Path, typer.Option(help="Its layers are repeated.")] = Path(
        "checkpoints/mobilebert-imdb"
    ),
    layers: Annotated[int, typer.Option(help="Depth of the graph.")] = 24,
    rounds: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 15,
    threads: Annotated[int, typer.Option(help="Of a session.")] = 1,
) -> None:
    """Print a table: median milliseconds, and the median share of the published graph's time."""
    graphs = tries(deepened(load_checkpoint(checkpoint), layers))
    sessions = {name: open_session(graph, threads) for name, graph in graphs.items()}
    measured = [times(sessions, lengths, rounds, time.perf_counter) for lengths in SHAPES.values()]
    table = Table(title=f"{layers} layers, {threads} threads")
    for heading in ("", *SHAPES):
        table.add_column(heading)
    for name in sessions:
        table.add_row(name, *(_shown(column[name], column[PUBLISHED]) for column in measured))
    Console().print(table)


def _shown(own: NDArray[np.float64], published: NDArray[np.float64]) -> str:
    return f"{np.median(own) * 1e3:.1f} ms, {np.median(own / published):.2f}"


if __name__ == "__main__":
    typer.run(main)
