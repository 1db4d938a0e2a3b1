"""The ways to run 8-bit products that int8 was chosen from: `python -m benchmarks.int8_rivals [--layers 24]`.

Every rival writes the same folded graph through `export.graph.Precision`; all run in turn on the same tokens.
OpenVINO takes part where ONNX Runtime has it (`pip install onnxruntime-openvino` in an environment of its own).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from onnx import ModelProto, TensorProto
from onnxruntime import InferenceSession, SessionOptions, get_available_providers
from rich.console import Console
from rich.table import Table

from export.builder import CONTRIB, GraphBuilder
from export.checkpoint import Checkpoint, load_checkpoint
from export.folding import Linear, fold
from export.graph import Precision, build_graph
from export.int8 import Int8, Int8Options, build_int8, quantized_parts
from export.int8_tune import deepened
from export.int8_weights import quantize_weight

SHAPES = {"8 x 128 tokens": [128] * 8, "1 x 285 tokens": [285]}
OPENVINO = "OpenVINOExecutionProvider"
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

    def _clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        weight = self._weight(g, name, x, dense, transpose=True)
        inputs = (self._encoded(g, x), *self._affine(g, x), *weight, *self._affine(g, name))
        self._codes[name] = g.node("QGemm", *inputs, domain=CONTRIB, name=name)
        return name


class IntegerToFloat(Int8):
    """MatMulIntegerToFloat for every product, and QuantizeLinear for the Relu."""

    def _clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        product = self._product(g, f"{name}.product", x, dense)
        self._codes[name] = g.node("QuantizeLinear", product, *self._affine(g, name), name=name)
        return name

    def _product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        weight, scales, zeros, _ = self._weight(g, name, x, dense, transpose=True)
        bias = "" if dense.bias is None else g.constant(f"{name}.addend", dense.bias.astype(np.float32))
        scale, zero = self._affine(g, x)
        inputs = (self._encoded(g, x), weight, scale, scales, zero, zeros, bias)
        return g.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB, name=name)


class QuantizeDequantize(Int8):
    """Standard operators between QuantizeLinear and DequantizeLinear, for ONNX Runtime to fuse."""

    def _clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        product = g.node("Relu", self._product(g, f"{name}.product", x, dense), name=f"{name}.relu")
        self._codes[name] = g.node("QuantizeLinear", product, *self._affine(g, name), name=name)
        return name

    def _product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        weight, scales, zeros, bias = self._weight(g, name, x, dense, transpose=True)
        values = self._encoded(g, x)
        decoded = g.node("DequantizeLinear", values, *self._affine(g, x), name=f"{name}.decoded")
        weight = g.node("DequantizeLinear", weight, scales, zeros, axis=1, name=f"{name}.weights")
        wanted = np.zeros(len(dense.weight)) if dense.bias is None else dense.bias
        steps = quantize_weight(dense.weight, wanted, float(self._affines[x].scale)).scales
        steps = g.constant(f"{name}.steps", steps * self._affines[x].scale)
        addend = g.node("DequantizeLinear", bias, steps, axis=0, name=f"{name}.addends")
        return g.node("Gemm", decoded, weight, addend, name=name)


class Plain(Precision):
    """Attention in standard operators, without which OpenVINO takes the graph to pieces."""

    def attend(self, g, name, query, key, value, lengths, heads, scale):  # type: ignore[no-untyped-def]
        def split(x: str, order: list[int]) -> str:
            return g.node("Transpose", g.node("Reshape", x, [0, 0, heads, -1]), perm=order)

        cells = g.node("Range", 0, g.node("Gather", g.node("Shape", key), 1), 1)
        lengths = g.node("Cast", lengths, to=TensorProto.INT64)
        mask = g.node("Less", cells, g.node("Unsqueeze", lengths, [1, 2, 3]))
        least = g.constant(f"{name}.least", np.float32(-1e9))
        none = g.constant(f"{name}.none", np.float32(0))
        scores = g.node("MatMul", split(query, [0, 2, 1, 3]), split(key, [0, 2, 3, 1]))
        scores = g.node("Mul", scores, g.constant(f"{name}.scale", np.float32(scale)))
        weights = g.node("Softmax", g.node("Add", scores, g.node("Where", mask, none, least)), axis=-1)
        context = g.node("MatMul", weights, split(value, [0, 2, 1, 3]))
        context = g.node("Transpose", context, perm=[0, 2, 1, 3])
        return g.node("Reshape", context, [0, 0, -1], name=name)


def main(
    checkpoint: Annotated[Path, typer.Option(help="Its layers are repeated.")] = Path(
        "checkpoints/mobilebert-imdb"
    ),
    layers: Annotated[int, typer.Option(help="Depth of the graph.")] = 24,
    rounds: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 9,
    threads: Annotated[int, typer.Option(help="Threads of a session.")] = 2,
) -> None:
    """Print a table: median milliseconds, and how many times as fast as fp32."""
    loaded = deepened(load_checkpoint(checkpoint), layers)
    sessions = {name: open_() for name, open_ in contestants(loaded, threads).items()}
    table = Table(title=f"{layers} layers, {threads} threads")
    for heading in ("", *SHAPES):
        table.add_column(heading)
    columns = [measure(sessions, lengths, rounds) for lengths in SHAPES.values()]
    for name in sessions:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


def contestants(checkpoint: Checkpoint, threads: int) -> dict[str, Callable[[], InferenceSession]]:
    """Rivals by name; sessions are opened by calling them."""
    folded = fold(checkpoint.config, checkpoint.weights)
    parts = quantized_parts(checkpoint, Int8Options())

    def writer(precision: Precision) -> Callable[[], InferenceSession]:
        return lambda: open_session(build_graph(checkpoint, folded, precision), threads)

    def quantized(kind: type[Int8]) -> Callable[[], InferenceSession]:
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
    if OPENVINO in get_available_providers():
        plain = build_graph(checkpoint, folded, Plain())
        found["OpenVINO, bf16"] = lambda: open_session(plain, threads, "bf16")
        found["OpenVINO, fp32"] = lambda: open_session(plain, threads, "f32")
    return found


def open_session(model: ModelProto, threads: int, openvino: str = "") -> InferenceSession:
    """A session whose threads sleep between runs, so that they do not disturb the next contestant."""
    options = SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not openvino:
        return InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    settings = {
        "INFERENCE_PRECISION_HINT": openvino,
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
    }
    provider = (OPENVINO, {"device_type": "CPU", "load_config": json.dumps({"CPU": settings})})
    return InferenceSession(model.SerializeToString(), options, [provider])


def measure(sessions: dict[str, InferenceSession], lengths: list[int], rounds: int) -> dict[str, str]:
    """Median time by name, and the median of its ratios to fp32's in the same round."""
    ids = np.concatenate([np.arange(length) % 1000 + 1000 for length in lengths])
    feed = {"input_ids": ids, "item_lengths": np.array(lengths, dtype=np.int32)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(["logits"], feed)
            times[name].append(time.perf_counter() - started)
    base = np.array(times["fp32"][1:])
    return {
        name: f"{median(each[1:]) * 1e3:.1f} ms, {np.median(base / np.array(each[1:])):.2f}x"
        for name, each in times.items()
    }


if __name__ == "__main__":
    typer.run(main)
