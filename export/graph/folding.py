"""Folds a checkpoint: walks its layers and applies `algebra` to every norm, bottleneck and bias there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.config import ModelConfig
from export.graph.algebra import (
    Array,
    Linear,
    Norm,
    Stream,
    Update,
    apply_norm,
    bias_of,
    compose,
    read_stream,
    stack,
    update_stream,
)

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerStreams:
    """The streams of a layer's tensors: they tell what the checkpoint's modules compute in their place.

    query, key: attention's inputs, without the factor of the scores.
    context: attention's result, and its values.
    narrow: the start, then the state after attention and after each feed-forward.
    wide: the state after the layer.
    """

    query: Stream
    key: Stream
    context: Stream
    narrow: tuple[Stream, ...]
    wide: Stream


@dataclass(frozen=True)
class FeedForward:
    """`u' = update(relu(expand(u)))`."""

    expand: Linear
    update: Update


@dataclass(frozen=True)
class Layer:
    """One transformer layer between two states of the wide stream.

    read: [4*narrow, wide]: the narrow stream's start, queries (scores' 1/sqrt(head size) included), keys and
    values, all read from the wide stream by one product.
    attention: the attention output's product into the narrow stream.
    output: the narrow stream's product into the wide one.
    score_scale: what attention multiplies its scores with.
    """

    read: Linear
    attention: Update
    feed_forward: tuple[FeedForward, ...]
    output: Update
    streams: LayerStreams
    score_scale: float = 1.0


@dataclass(frozen=True)
class Folded:
    """The whole classifier; `assembly` turns it into ONNX.

    words: [vocab + 1, embedding]; the last row is zero and stands for "no neighbour".
    positions: [max positions, wide], with all other constants of the embeddings.
    transformation: the trigram's product (weight [wide, 3*embedding]: next, current, previous token), or the
    embedding's own when there is no trigram; None where word embeddings need no product.
    pooler: followed by tanh; None where the first token goes straight to the classifier.
    """

    words: Array
    positions: Array
    transformation: Linear | None
    layers: tuple[Layer, ...]
    pooler: Linear | None
    classifier: Linear


def fold(config: ModelConfig, weights: Weights) -> Folded:
    """Fold a checkpoint's weights (transformers' names) in float64."""
    source = _Source(weights)
    words, positions, transformation = _fold_embeddings(config, source)
    stream = Stream(np.ones(config.hidden_size), np.zeros(config.hidden_size))
    layers = []
    for index in range(config.num_hidden_layers):
        layer, stream = _fold_layer(config, source.under(f"mobilebert.encoder.layer.{index}"), stream)
        layers.append(layer)
    pooler = (
        read_stream(stream, source.dense("mobilebert.pooler.dense")) if config.classifier_activation else None
    )
    classifier = source.dense("classifier")
    return Folded(
        words=words,
        positions=positions,
        transformation=transformation,
        layers=tuple(layers),
        pooler=pooler,
        classifier=classifier if pooler else read_stream(stream, classifier),
    )


class _Source:
    """Reads parameters by transformers' names, relative to a prefix, as float64."""

    def __init__(self, weights: Weights, prefix: str = "") -> None:
        self._weights, self._prefix = weights, prefix

    def under(self, name: str) -> "_Source":
        return _Source(self._weights, f"{self._prefix}{name}.")

    def array(self, name: str) -> Array:
        return np.asarray(self._weights[f"{self._prefix}{name}"], dtype=np.float64)

    def dense(self, name: str) -> Linear:
        return Linear(self.array(f"{name}.weight"), self.array(f"{name}.bias"))

    def norm(self, name: str) -> Norm:
        return Norm(self.array(f"{name}.weight"), self.array(f"{name}.bias"))


def _fold_embeddings(config: ModelConfig, source: _Source) -> tuple[Array, Array, Linear | None]:
    source = source.under("mobilebert.embeddings")
    norm = source.norm("LayerNorm")
    words = source.array("word_embeddings.weight")
    words = np.concatenate([words, np.zeros((1, words.shape[1]))])
    constant = source.array("position_embeddings.weight") + source.array("token_type_embeddings.weight")[0]
    if not config.transforms_embeddings:
        return words * norm.weight, constant * norm.weight + norm.bias, None
    dense = source.dense("embedding_transformation")
    positions = (constant + dense.bias) * norm.weight + norm.bias
    return words, positions, Linear(norm.weight[:, None] * dense.weight)


def _fold_layer(config: ModelConfig, source: _Source, wide: Stream) -> tuple[Layer, Stream]:
    start, query, key, value = _attention_inputs(config, source)
    root = config.head_size**-0.5
    query = Linear(query.weight * root, bias_of(query) * root)
    start, query, key, value = (read_stream(wide, each) for each in (start, query, key, value))
    read = stack([start, query, _unbiased(key), _unbiased(value)])
    ones, zeros = np.ones(config.intra_bottleneck_size), np.zeros(config.intra_bottleneck_size)
    start_stream, context = Stream(ones, zeros), Stream(ones, bias_of(value))
    attention, narrow = update_stream(
        start_stream,
        read_stream(context, source.dense("attention.output.dense")),
        source.norm("attention.output.LayerNorm"),
    )
    states, feed_forward = [start_stream, narrow], []
    for block in [source.under(f"ffn.{i}") for i in range(config.num_feedforward_networks - 1)] + [source]:
        expand = read_stream(narrow, block.dense("intermediate.dense"))
        update, narrow = update_stream(narrow, block.dense("output.dense"), block.norm("output.LayerNorm"))
        feed_forward.append(FeedForward(expand, update))
        states.append(narrow)
    output, wide = update_stream(
        wide,
        read_stream(narrow, source.dense("output.bottleneck.dense")),
        source.norm("output.bottleneck.LayerNorm"),
    )
    scores = Stream(ones / root, zeros), Stream(ones, bias_of(key))
    streams = LayerStreams(*scores, context, tuple(states), wide)
    return Layer(read, attention, tuple(feed_forward), output, streams), wide


def _attention_inputs(config: ModelConfig, source: _Source) -> tuple[Linear, Linear, Linear, Linear]:
    """The narrow stream's start, query, key and value as products of the wide state h."""

    def bottleneck(name: str) -> Linear:
        return apply_norm(
            source.norm(f"bottleneck.{name}.LayerNorm"), source.dense(f"bottleneck.{name}.dense")
        )

    start = bottleneck("input")
    query, key, value = (source.dense(f"attention.self.{name}") for name in ("query", "key", "value"))
    if config.use_bottleneck_attention:
        return start, compose(query, start), compose(key, start), compose(value, start)
    if config.key_query_shared_bottleneck:
        shared = bottleneck("attention")
        return start, compose(query, shared), compose(key, shared), value
    return start, query, key, value


def _unbiased(dense: Linear) -> Linear:
    return Linear(dense.weight)
