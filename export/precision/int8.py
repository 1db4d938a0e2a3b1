"""The int8 precision: products in 8 bits, residual streams, attention and the classifier in float32.

Weights have one scale per output, activations one static scale per tensor, known at export: what a text is
batched with cannot change its result. Chosen by measurement (docs/explanations/int8.md): a tensor is
quantized once for all of its readers; a feed-forward's first product is a pointwise QLinearConv, ONNX
Runtime's fastest 8-bit kernel, whose unsigned output clips at zero, as Relu does; all others are QGemm
with float32 output.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from export.checkpoint.reading import Checkpoint
from export.graph.algebra import Array, Linear, bias_of
from export.graph.assembly import Precision, build_graph
from export.graph.builder import CONTRIB, GraphBuilder
from export.graph.folding import Folded, fold
from export.precision.int8_equalize import divide_ranges, equalizing_scales
from export.precision.int8_weights import quantize_weight
from export.precision.rebasing import rescale
from export.precision.tensor_ranges import Ranges, tensor_name, tensor_ranges, update_name

# How many quantiles a calibration method leaves out at each end of the ranges.
CALIBRATIONS = {"minmax": 0, "percentile-99.99": 1, "percentile-99.9": 2}
LEVELS = 255
LARGEST_HALF = 2.0**15


@dataclass(frozen=True)
class Int8Options:
    """How activations are quantized, and which products are not.

    calibration: a key of CALIBRATIONS.
    alpha: of `int8_equalize`; None leaves the channels as they are.
    keep: names of products (see `assembly.Precision`) that stay in float32.
    keep_tail: whether the last layer's products of first tokens stay in float32, too; those are few.
    """

    calibration: str = "minmax"
    alpha: float | None = 0.5
    keep: tuple[str, ...] = ()
    keep_tail: bool = True


@dataclass(frozen=True)
class Affine:
    """`x ~ scale * (code - zero)`, code in 0..255."""

    scale: np.float32
    zero: np.uint8


def build_int8(checkpoint: Checkpoint, options: Int8Options | None = None) -> ModelProto:
    """The folded, packed graph with 8-bit products.

    Raises:
        CheckpointError: the checkpoint ships ranges, but not of every module.
    """
    options = options or Int8Options()
    folded, affines, keep = quantized_parts(checkpoint, options)
    model = build_graph(checkpoint, folded, Int8(affines, keep))
    said = {each.key: each.value for each in model.metadata_props}
    helper.set_model_props(model, said | {name: str(value) for name, value in asdict(options).items()})
    return model


def quantized_parts(
    checkpoint: Checkpoint, options: Int8Options
) -> tuple[Folded, dict[str, Affine], tuple[str, ...]]:
    """The equalized classifier, its tensors' scales, the products to keep. Raises as `build_int8` does."""
    folded, ranges = _equalized(checkpoint, options)
    keep = (*options.keep, *(tail_products(folded) if options.keep_tail else ()))
    return folded, _affines(folded, ranges, options.calibration), keep


def tail_products(folded: Folded) -> list[str]:
    """Names of the last layer's products that work on first tokens alone."""
    if not folded.layers:
        return []
    name, blocks = f"layer{len(folded.layers) - 1}", range(len(folded.layers[-1].feed_forward))
    inner = [f"{name}.ffn{j}.{part}" for j in blocks for part in ("in", "out")]
    return [f"{name}.read.first", f"{name}.attention", *inner, f"{name}.output"]


def build_int8_twin(checkpoint: Checkpoint, options: Int8Options | None = None) -> ModelProto:
    """The graph that `build_int8` approximates: the same tensors in float32. Raises as that does."""
    folded, _ = _equalized(checkpoint, options or Int8Options())
    return build_graph(checkpoint, folded, Precision())


def _equalized(checkpoint: Checkpoint, options: Int8Options) -> tuple[Folded, Ranges]:
    folded = fold(checkpoint.config, checkpoint.weights)
    ranges = tensor_ranges(checkpoint, folded)
    if options.alpha is None:
        return folded, ranges
    scales = equalizing_scales(folded, ranges, options.alpha)
    return rescale(folded, scales), divide_ranges(ranges, folded, scales)


def affine(low: float, high: float) -> Affine:
    """The finest scale that covers low..high and holds zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-30) / LEVELS)
    return Affine(scale, np.uint8(np.clip(np.rint(-low / scale), 0, LEVELS)))


def _affines(folded: Folded, ranges: Ranges, calibration: str) -> dict[str, Affine]:
    """By tensor, the last layer's first tokens included; words where a product reads them."""
    row = CALIBRATIONS[calibration]
    affines = {
        tensor_name(folded, name): affine(each[row].min(), each[-1 - row].max())
        for name, each in ranges.items()
    }
    if folded.transformation:
        affines["words"] = affines["words.flat"] = affine(folded.words.min(), folded.words.max())
    if folded.layers:
        affines[f"layer{len(folded.layers) - 1}.first"] = affines[_wide_before_last(folded)]
    return affines


def _wide_before_last(folded: Folded) -> str:
    index = len(folded.layers) - 2
    return "embeddings" if index < 0 else update_name(f"layer{index}.output", folded.layers[index].output)


class Int8(Precision):
    """Writes products in 8 bits but for those named in `keep`; remembers which tensors have codes.

    Another way to multiply overrides `product` and `clipped_product`, with the help of `weight`, `encoded`
    and `scale_and_zero` (`benchmarks/int8_rivals.py`).
    """

    def __init__(self, affines: Mapping[str, Affine], keep: tuple[str, ...] = ()) -> None:
        self.affines, self._keep = dict(affines), frozenset(keep)
        self._codes = {"words.flat": "words.flat"}
        self._written: set[str] = set()

    def linear(
        self,
        g: GraphBuilder,
        name: str,
        x: str,
        dense: Linear,
        residual: str | None = None,
        relu: bool = False,
    ) -> str:
        if name in self._keep:
            return super().linear(g, name, self._decoded(g, x), dense, residual, relu)
        if relu:
            self._codes[name] = self.clipped_product(g, name, x, dense)
            return name
        product = self.product(g, f"{name}.product" if residual else name, x, dense)
        return g.node("Add", product, residual, name=name) if residual else product

    def lookup(self, g: GraphBuilder, name: str, table: Array, indices: str) -> str:
        """Words as codes, which the trigram's product reads as they are; other tables in half precision."""
        if name in self.affines:
            codes = g.constant(f"{name}.table", encode(table, self.affines[name]))
            return g.node("Gather", codes, indices, name=name)
        return super().lookup(g, name, table, indices)

    def store(self, g: GraphBuilder, name: str, array: Array) -> str:
        """Matrices in half precision, which ONNX Runtime widens at load; vectors in float32."""
        if array.ndim < 2 or np.abs(array).max(initial=0) > LARGEST_HALF:
            return super().store(g, name, array)
        half = g.constant(f"{name}.half", array.astype(np.float16))
        return g.node("Cast", half, to=TensorProto.FLOAT, name=name)

    def clipped_product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        """The tensor `name`: codes of `relu(dense(x))`. Their zero is 0, below which QLinearConv clips."""
        weight, scales, zeros, bias = self.weight(g, name, x, dense, transpose=False)
        image = g.node("Unsqueeze", self.encoded(g, x), [0], name=f"{name}.image")
        inputs = (
            image,
            *self.scale_and_zero(g, x),
            weight,
            scales,
            zeros,
            *self.scale_and_zero(g, name),
            bias,
        )
        conv = g.node(
            "QLinearConv", *inputs, domain=CONTRIB, channels_last=1, kernel_shape=[1], name=f"{name}.product"
        )
        return g.node("Squeeze", conv, [0], name=name)

    def product(self, g: GraphBuilder, name: str, x: str, dense: Linear) -> str:
        """`dense(x)` in float32."""
        weight = self.weight(g, name, x, dense, transpose=True)
        return g.node(
            "QGemm", self.encoded(g, x), *self.scale_and_zero(g, x), *weight, domain=CONTRIB, name=name
        )

    def weight(
        self, g: GraphBuilder, name: str, x: str, dense: Linear, transpose: bool
    ) -> tuple[str, str, str, str]:
        """Weight ([in, out] if `transpose`, else [out, in, 1]), scales, zero points and bias ("": none).

        QGemm writes a bias to every row of the result before it adds the product. That takes up to a sixth of
        its time, also where the bias is zero.
        """
        codes = quantize_weight(dense.weight, bias_of(dense), float(self.affines[x].scale))
        weight = np.ascontiguousarray(codes.codes.T) if transpose else codes.codes[:, :, None]
        return (
            g.constant(f"{name}.weight", weight),
            g.constant(f"{name}.weight.scale", codes.scales),
            g.constant(f"{name}.weight.zero", np.zeros(len(codes.scales), np.int8)),
            g.constant(f"{name}.bias", codes.bias) if codes.bias.any() else "",
        )

    def encoded(self, g: GraphBuilder, x: str) -> str:
        """The tensor of `x`'s codes, written once for all who read it."""
        if x not in self._codes:
            self._codes[x] = g.node("QuantizeLinear", x, *self.scale_and_zero(g, x), name=f"{x}.codes")
        return self._codes[x]

    def _decoded(self, g: GraphBuilder, x: str) -> str:
        if self._codes.get(x) != x:
            return x
        return g.node("DequantizeLinear", x, *self.scale_and_zero(g, x), name=f"{x}.decoded")

    def scale_and_zero(self, g: GraphBuilder, x: str) -> tuple[str, str]:
        """The constants that give the codes of `x` their meaning."""
        affine, name = self.affines[x], x.removesuffix(".flat")
        if name not in self._written:
            g.constant(f"{name}.scale", affine.scale)
            g.constant(f"{name}.zero", affine.zero)
            self._written.add(name)
        return f"{name}.scale", f"{name}.zero"


def encode(x: Array, affine: Affine) -> NDArray[np.uint8]:
    """Codes of `x`, rounded and clipped."""
    return np.clip(np.rint(x / affine.scale) + affine.zero, 0, LEVELS).astype(np.uint8)
