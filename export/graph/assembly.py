"""Turns folded weights into ONNX: packed rows in; label, score, probabilities and logits out (see `heads`).

Inputs: `input_ids` [F] int64, all rows one after another, and `item_lengths` [B] int32. A row becomes one
window, or several where it is long (see `windows`); the row's logits are the mean of theirs. Every linear
layer works on the packed [tokens, width] matrix of all windows. Only attention is padded, by Gather, to
[windows, longest, width].
Outputs: `label` [B, 1] string; `score` [B, 1], `probabilities` and `logits` [B, labels] float32. Other
problem types have other outputs (see `checkpoint.problem_types`).

A precision is a subclass of `Precision`: its `linear` writes every product, except the pooler's and the
classifier's, which are always float32.
"""

import sys
from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper

from export.checkpoint.reading import Checkpoint
from export.graph.algebra import Array, Linear, Update
from export.graph.builder import CONTRIB, GraphBuilder
from export.graph.folding import Folded, Layer
from export.graph.heads import write_head
from export.graph.packing import (
    INPUT_IDS,
    ITEM_LENGTHS,
    PADDING_ID,
    Packed,
    Vocabulary,
    combine_windows,
    pack_rows,
)
from export.graph.windows import Windows

# Parts of Layer.read, in order.
START, QUERY, KEY, VALUE = range(4)


class Precision:
    """How products and tables are written; this one is float32, and the base of the others.

    Names are stable: `embeddings`, `layer<i>.read`, `layer<i>.attention`, `layer<i>.ffn<j>.in`,
    `layer<i>.ffn<j>.out`, `layer<i>.output`, `pooler`, `windows.logits`. The last layer has
    `layer<i>.read.first` (start and query of first tokens) and `layer<i>.read.all` (key and value) instead of
    `layer<i>.read`. A product's result has the product's name: `in` after Relu; `out`, `attention` and
    `output` after the residual is added.
    """

    dtype: type[np.floating] = np.float32

    def linear(
        self,
        g: GraphBuilder,
        name: str,
        x: str,
        dense: Linear,
        residual: str | None = None,
        relu: bool = False,
    ) -> str:
        """`x @ weight.T + bias` or `+ residual`, then Relu if asked; x is [rows, in]."""
        weight = self.store(g, f"{name}.weight", np.ascontiguousarray(dense.weight.T))
        bias = None if dense.bias is None else self.store(g, f"{name}.bias", dense.bias)
        addends = [addend for addend in (residual, bias) if addend]
        product = g.node("Gemm", x, weight, *addends, name=f"{name}.product" if relu else name)
        return g.node("Relu", product, name=name) if relu else product

    def lookup(self, g: GraphBuilder, name: str, table: Array, indices: str) -> str:
        """Rows of `table` at `indices`."""
        return g.node("Gather", self.store(g, f"{name}.table", table), indices, name=name)

    def rescale(self, g: GraphBuilder, name: str, x: str, factor: Array) -> str:
        """`x * factor`, per channel."""
        return g.node("Mul", x, self.store(g, f"{name}.factor", factor), name=name)

    def store(self, g: GraphBuilder, name: str, array: Array) -> str:
        """`array` as an initializer of this precision."""
        return g.constant(name, array.astype(self.dtype))

    def to_float32(self, g: GraphBuilder, name: str, x: str) -> str:
        """`x` as float32: attention, the pooler and the classifier work in full precision."""
        return x

    def from_float32(self, g: GraphBuilder, name: str, x: str) -> str:
        """Attention's result as products read it."""
        return x


def build_graph(checkpoint: Checkpoint, folded: Folded, precision: Precision) -> ModelProto:
    """The ONNX model of `folded` (see `folding.fold`) in the given precision, checked by onnx."""
    config, g = checkpoint.config, GraphBuilder()
    vocabulary = Vocabulary(config.vocab_size, config.pad_token_id, checkpoint.unk_token_id)
    windows = Windows(config.max_position_embeddings)
    rows = pack_rows(g, vocabulary, windows, config.trigram_input)
    encoder = Encoder(g, rows, precision, config.num_attention_heads)
    first = encoder.run(folded, vocabulary.extended(folded.words))
    of_windows = _write_logits(g, precision, folded, first)
    combine_windows(g, rows, windows, of_windows, len(folded.classifier.weight), "logits")
    outputs = write_head(g, config)
    inputs = [
        helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, ["ids"]),
        helper.make_tensor_value_info(ITEM_LENGTHS, TensorProto.INT32, ["rows"]),
    ]
    model = g.model(
        "mobilebert", inputs, outputs, f"MobileBERT classifier, checkpoint {checkpoint.sha256[:12]}"
    )
    helper.set_model_props(model, {**windows.metadata(), PADDING_ID: str(vocabulary.pad)})
    return model


class Encoder:
    """Writes embeddings and transformer layers."""

    def __init__(self, g: GraphBuilder, rows: Packed, precision: Precision, heads: int) -> None:
        self._g, self._rows, self._precision, self._heads = g, rows, precision, heads

    def run(self, folded: Folded, words: Array) -> str:
        """[W, wide]: the last state of every window's first token."""
        wide = self._embeddings(folded, words)
        if not folded.layers:
            return self._g.node("Gather", wide, self._rows.first, name="first")
        parts = self._part_indices() if len(folded.layers) > 1 else ()
        for index, layer in enumerate(folded.layers[:-1]):
            wide = self._layer(f"layer{index}", layer, wide, parts)
        return self._last_layer(f"layer{len(folded.layers) - 1}", folded.layers[-1], wide)

    def _embeddings(self, folded: Folded, table: Array) -> str:
        words = self._precision.lookup(self._g, "words", table, self._rows.ids)
        positions = self._precision.lookup(self._g, "positions", folded.positions, self._rows.position)
        if folded.transformation is None:
            return self._g.node("Add", words, positions, name="embeddings")
        flat = self._g.node("Reshape", words, [-1, folded.transformation.weight.shape[1]], name="words.flat")
        return self._precision.linear(self._g, "embeddings", flat, folded.transformation, residual=positions)

    def _part_indices(self) -> Sequence[str]:
        """Indices of QUERY, KEY and VALUE [W, S] in read's result, reshaped to [4*T, narrow].

        So the Gather that pads them also splits the fused product, at no further cost.
        """
        g = self._g
        cell = g.node("Mul", self._rows.gather, 4)
        return [g.node("Add", cell, part, name=f"packed/part{part}") for part in (QUERY, KEY, VALUE)]

    def _layer(self, name: str, layer: Layer, wide: str, parts: Sequence[str]) -> str:
        read = self._precision.linear(self._g, f"{name}.read", wide, layer.read)
        narrow = len(layer.read.weight) // 4
        split = self._g.node("Reshape", read, [-1, narrow], name=f"{name}.parts")
        exact = self._precision.to_float32(self._g, f"{name}.parts.float32", split)
        start = self._g.node("Slice", split, [START], [sys.maxsize], [0], [4], name=f"{name}.start")
        query, key, value = (
            self._g.node("Gather", exact, part, name=f"{name}.{part_name}")
            for part, part_name in zip(parts, ("query", "key", "value"), strict=True)
        )
        context = self._attend(name, layer, query, key, value)
        context = self._g.node("Gather", context, self._rows.scatter, name=f"{name}.context")
        return self._tail(name, layer, context, start, wide)

    def _last_layer(self, name: str, layer: Layer, wide: str) -> str:
        """Only first tokens count after this layer, so all but keys and values is computed for these only."""
        g, narrow = self._g, len(layer.read.weight) // 4
        first = g.node("Gather", wide, self._rows.first, name=f"{name}.first")
        read_first = self._precision.linear(
            g, f"{name}.read.first", first, _rows_of(layer.read, 0, 2 * narrow)
        )
        read_all = self._precision.linear(
            g, f"{name}.read.all", wide, _rows_of(layer.read, 2 * narrow, 4 * narrow)
        )
        start, query = g.nodes("Split", read_first, outputs=[f"{name}.start", f"{name}.query"], axis=1)
        query = self._precision.to_float32(g, f"{name}.query.float32", query)
        query = g.node("Unsqueeze", query, [1], name=f"{name}.query3d")
        both = g.node("Reshape", read_all, [-1, narrow], name=f"{name}.parts")
        both = self._precision.to_float32(g, f"{name}.parts.float32", both)
        cell = g.node("Mul", self._rows.gather, 2)
        key = g.node("Gather", both, cell, name=f"{name}.key")
        value = g.node("Gather", both, g.node("Add", cell, 1), name=f"{name}.value")
        context = self._attend(name, layer, query, key, value)
        return self._tail(name, layer, context, start, first)

    def _attend(self, name: str, layer: Layer, query: str, key: str, value: str) -> str:
        """[cells, narrow]: softmax attention, in float32, on padded [W, S, narrow] tensors."""
        inputs = (query, key, value, "", self._rows.lengths)
        options = {"num_heads": self._heads, "scale": layer.score_scale}
        context = self._g.node(
            "MultiHeadAttention", *inputs, domain=CONTRIB, name=f"{name}.attended", **options
        )
        return self._g.node("Reshape", context, [-1, len(layer.attention.weight)], name=f"{name}.cells")

    def _tail(self, name: str, layer: Layer, context: str, start: str, wide: str) -> str:
        context = self._precision.from_float32(self._g, f"{name}.context.narrowed", context)
        narrow = self._update(f"{name}.attention", context, layer.attention, start)
        for index, block in enumerate(layer.feed_forward):
            hidden = self._precision.linear(self._g, f"{name}.ffn{index}.in", narrow, block.expand, relu=True)
            narrow = self._update(f"{name}.ffn{index}.out", hidden, block.update, narrow)
        return self._update(f"{name}.output", narrow, layer.output, wide)

    def _update(self, name: str, x: str, update: Update, stream: str) -> str:
        after = self._precision.linear(self._g, name, x, Linear(update.weight), residual=stream)
        if update.factor is None:
            return after
        return self._precision.rescale(self._g, f"{name}.rescaled", after, update.factor)


def _rows_of(dense: Linear, start: int, stop: int) -> Linear:
    return Linear(dense.weight[start:stop], None if dense.bias is None else dense.bias[start:stop])


def _write_logits(g: GraphBuilder, precision: Precision, folded: Folded, first: str) -> str:
    """Classifier in float32: [W, labels]."""
    full, pooled = Precision(), precision.to_float32(g, "pooled", first)
    if folded.pooler is not None:
        pooled = g.node("Tanh", full.linear(g, "pooler", pooled, folded.pooler), name="pooled.tanh")
    return full.linear(g, "windows.logits", pooled, folded.classifier)
