"""The ways to run 8-bit products that int8 was chosen from: `python -m benchmarks.int8_rivals [--layers 24]`.

Every rival writes the same folded graph through a `Precision` of its own; all run in turn on the same tokens.
OpenVINO takes part where it is installed (`pip install openvino==2026.4.1`).
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.rivals.graphs_in_turn import Session, deepened, times
from benchmarks.rivals.openvino_encoder import Encoder, open_session
from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.graph.algebra import Linear, bias_of
from export.graph.assembly import Precision, build_graph
from export.graph.builder import CONTRIB, GraphBuilder
from export.graph.folding import fold
from export.precision.int8 import Int8, Int8Options, build_int8, quantized_parts
from export.precision.int8_weights import quantize_weight

SHAPES = {"8 x 128 tokens": [128] * 8, "1 x 285 tokens": [285]}
BLOCK = 128


class Dynamic(Precision):
    """DynamicQuantizeMatMul: activation scales of the batch at hand, so texts influence one another."""

    def linear(
        self,
        g: GraphBuilder,
        name: str,
        x: str,
        dense: Linear,
        residual: str | None = None,
        relu: bool = False,
    ) -> str:
        codes = quantize_weight(dense.weight, np.zeros(len(dense.weight)), 1.0)
        weight = g.constant(f"{name}.weight", np.ascontiguousarray(codes.codes.T))
        bias = "" if dense.bias is None else g.constant(f"{name}.bias", dense.bias.astype(np.float32))
        inputs = (x, weight, g.constant(f"{name}.scale", codes.scales), "", bias)
        product = g.node("DynamicQuantizeMatMul", *inputs, domain=CONTRIB, name=f"{name}.product")
        if residual:
            return g.node("Add", product, residual, name=name)
        return g.node("Relu" if relu else "Identity", product, name=name)


class WeightsOnly(Precision):
    """MatMulNBits with 8-bit weights and activations quantized by row (accuracy level 4)."""

    def linear(
        self,
        g: GraphBuilder,
        name: str,
        x: str,
        dense: Linear,
        residual: str | None = None,
        relu: bool = False,
    ) -> str:
        outputs, inputs = dense.weight.shape
        blocks = dense.weight.reshape(outputs, -1, BLOCK)
        scales = np.abs(blocks).max(2) / 127 + 1e-30
        codes = np.rint(blocks / scales[:, :, None]) + 128
        product = g.node(
            "MatMulNBits",
            x,
            g.constant(f"{name}.weight", codes.astype(np.uint8)),
            g.constant(f"{name}.scale", scales.astype(np.float32).reshape(-1)),
            domain=CONTRIB,
            name=f"{name}.product",
            **{"K": inputs, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": 4},
        )
        bias = None if dense.bias is None else g.constant(f"{name}.bias", dense.bias.astype(np.float32))
        for addend in filter(None, (bias, residual)):
            product = g.node("Add", product, addend)
        return g.node("Relu" if relu else "Identity", product, name=name)


class OnlyQGemm(Int8):
    """QGemm for every product, where ours has QLinearConv in front of a Relu."""

    def clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        weight = self.weight(g, name, x, dense, transpose=True)
        inputs = (self.encoded(g, x), *self.scale_and_zero(g, x), *weight, *self.scale_and_zero(g, name))
        return g.node("QGemm", *inputs, domain=CONTRIB, name=name)


class IntegerToFloat(Int8):
    """MatMulIntegerToFloat for every product, and QuantizeLinear for the Relu."""

    def clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        product = self.product(g, f"{name}.product", x, dense)
        return g.node("QuantizeLinear", product, *self.scale_and_zero(g, name), name=name)

    def product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        weight, scales, zeros, _ = self.weight(g, name, x, dense, transpose=True)
        bias = "" if dense.bias is None else g.constant(f"{name}.addend", dense.bias.astype(np.float32))
        scale, zero = self.scale_and_zero(g, x)
        inputs = (self.encoded(g, x), weight, scale, scales, zero, zeros, bias)
        return g.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB, name=name)


class QuantizeDequantize(Int8):
    """Standard operators between QuantizeLinear and DequantizeLinear, for ONNX Runtime to fuse."""

    def clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        product = g.node("Relu", self.product(g, f"{name}.product", x, dense), name=f"{name}.relu")
        return g.node("QuantizeLinear", product, *self.scale_and_zero(g, name), name=name)

    def product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        codes, scales, zeros, bias = self.weight(g, name, x, dense, transpose=True)
        decoded = g.node(
            "DequantizeLinear", self.encoded(g, x), *self.scale_and_zero(g, x), name=f"{name}.decoded"
        )
        weight = g.node("DequantizeLinear", codes, scales, zeros, axis=1, name=f"{name}.weights")
        if not bias:
            return g.node("Gemm", decoded, weight, name=name)
        scale = self.affines[x].scale
        steps = quantize_weight(dense.weight, bias_of(dense), float(scale)).scales * scale
        addend = g.node("DequantizeLinear", bias, g.constant(f"{name}.steps", steps), axis=0)
        return g.node("Gemm", decoded, weight, addend, name=name)


def main(
    checkpoint: Annotated[Path, typer.Option(help="Its layers are repeated.")] = Path(
        "checkpoints/mobilebert-imdb"
    ),
    layers: Annotated[int, typer.Option(help="Depth of the graph.")] = 24,
    rounds: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 9,
    threads: Annotated[
        int, typer.Option(help="Of a session; 1 counts processor time, on a busy machine.")
    ] = 2,
) -> None:
    """Print a table: median milliseconds, and how many times as fast as fp32."""
    loaded = deepened(load_checkpoint(checkpoint), layers)
    sessions = {name: open_() for name, open_ in contestants(loaded, threads).items()}
    clock = time.process_time if threads == 1 else time.perf_counter
    table = Table(title=f"{layers} layers, {threads} threads")
    for heading in ("", *SHAPES):
        table.add_column(heading)
    columns = [measure(sessions, lengths, rounds, clock) for lengths in SHAPES.values()]
    for name in sessions:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


def contestants(checkpoint: Checkpoint, threads: int) -> dict[str, Callable[[], Session]]:
    """Rivals by name; sessions are opened by calling them."""
    folded = fold(checkpoint.config, checkpoint.weights)
    parts = quantized_parts(checkpoint, Int8Options())

    def writer(precision: Precision) -> Callable[[], Session]:
        return lambda: open_session(build_graph(checkpoint, folded, precision), threads)

    def quantized(kind: type[Int8]) -> Callable[[], Session]:
        return lambda: open_session(build_graph(checkpoint, parts[0], kind(*parts[1:])), threads)

    found = {
        "fp32": writer(Precision()),
        "static, QLinearConv and QGemm (published)": lambda: open_session(build_int8(checkpoint), threads),
        "static, QGemm": quantized(OnlyQGemm),
        "static, MatMulIntegerToFloat": quantized(IntegerToFloat),
        "static, QDQ": quantized(QuantizeDequantize),
        "dynamic, DynamicQuantizeMatMul": writer(Dynamic()),
        "weights only, MatMulNBits": writer(WeightsOnly()),
    }
    if find_spec("openvino"):
        fp32 = build_graph(checkpoint, folded, Precision())
        codes = build_graph(checkpoint, parts[0], QuantizeDequantize(*parts[1:]))
        found["OpenVINO, bf16"] = lambda: Encoder(fp32, threads, "bf16")
        found["OpenVINO, fp32"] = lambda: Encoder(fp32, threads, "f32")
        found["OpenVINO, QDQ"] = lambda: Encoder(codes, threads, "f32")
    return found


def measure(
    sessions: dict[str, Session], lengths: list[int], rounds: int, clock: Callable[[], float]
) -> dict[str, str]:
    """Median time by name, and the median of its ratios to fp32's in the same round."""
    measured = times(sessions, lengths, rounds, clock)
    return {
        name: f"{np.median(each) * 1e3:.1f} ms, {np.median(measured['fp32'] / each):.2f}x"
        for name, each in measured.items()
    }


if __name__ == "__main__":
    typer.run(main)
