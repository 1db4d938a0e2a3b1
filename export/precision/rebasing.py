"""A change of basis: the same classifier with every tensor divided by per-channel scales.

For any positive s, the graph may compute x' = x/s (per channel) in the place of a tensor x:

    y = W x + b      becomes   y' = (W * s_x / s_y) x' + b / s_y
    y = relu(x)      becomes   y' = relu(x')                      since relu(s x) = s relu(x) for s > 0
    u' = u + W x     becomes   u'/s = u/s + (W * s_x / s) x/s_x   one s for both states of a stream, or else
                               a factor s_before / s_after behind the sum
    q . k            becomes   sum of 2^m (q/s_q)(k/s_k)          where s_q * s_k = 2^m in every channel
    softmax(..) v    becomes   softmax(..) (v/s_v)                a weighted mean of rows

All of these are identities of real numbers. Where every s is a power of two they hold for floating point as
well: multiplying by a power of two changes the exponent alone, so nothing is rounded that was not before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from export.graph.algebra import Array, Linear, Stream, Update
from export.graph.folding import FeedForward, Folded, Layer, LayerStreams


@dataclass(frozen=True)
class LayerScales:
    """Positive scales of a layer's tensors, [channels] each.

    narrow: one for each state of the narrow stream (start, after attention, after each feed-forward).
    hidden: one for each feed-forward.
    exponent: m of `query * key == 2**m`.
    """

    query: Array
    key: Array
    value: Array
    narrow: Sequence[Array]
    hidden: Sequence[Array]
    exponent: int


@dataclass(frozen=True)
class Scales:
    """words: [embedding]; wide: one [wide] for each state of the wide stream: embeddings, then layers."""

    words: Array
    wide: Sequence[Array]
    layers: Sequence[LayerScales]


def rescale(folded: Folded, scales: Scales) -> Folded:
    """`folded` in the basis of `scales`; see the module's equations."""
    first, last = scales.wide[0], scales.wide[-1]
    head = _scale_inputs(folded.pooler or folded.classifier, last)
    if folded.transformation is None:
        words, transformation = folded.words / first, None
    else:
        repeats = folded.transformation.weight.shape[1] // len(scales.words)
        words = folded.words / scales.words
        transformation = rebase(folded.transformation, np.tile(scales.words, repeats), first)
    states = zip(folded.layers, scales.layers, scales.wide[:-1], scales.wide[1:], strict=True)
    return replace(
        folded,
        words=words,
        positions=folded.positions / first,
        transformation=transformation,
        layers=tuple(_rescale_layer(*each) for each in states),
        pooler=head if folded.pooler else None,
        classifier=folded.classifier if folded.pooler else head,
    )


def rebase(dense: Linear, inputs: Array, outputs: Array) -> Linear:
    """`W x + b` between the bases: `(W * inputs / outputs) x' + b / outputs`."""
    weight = dense.weight * inputs / outputs[:, None]
    return Linear(weight, None if dense.bias is None else dense.bias / outputs)


def _rescale_layer(layer: Layer, scales: LayerScales, before: Array, after: Array) -> Layer:
    narrow = scales.narrow
    read = np.concatenate([narrow[0], scales.query, scales.key, scales.value])
    blocks = zip(layer.feed_forward, scales.hidden, narrow[1:-1], narrow[2:], strict=True)
    return Layer(
        read=rebase(layer.read, before, read),
        attention=_rescale_update(layer.attention, scales.value, narrow[0], narrow[1]),
        feed_forward=tuple(_rescale_block(*each) for each in blocks),
        output=_rescale_update(layer.output, narrow[-1], before, after),
        streams=_rescale_streams(layer.streams, scales, after),
        score_scale=layer.score_scale * 2.0**scales.exponent,
    )


def _rescale_block(block: FeedForward, hidden: Array, before: Array, after: Array) -> FeedForward:
    update = _rescale_update(block.update, hidden, before, after)
    return FeedForward(rebase(block.expand, before, hidden), update)


def _rescale_update(update: Update, inputs: Array, before: Array, after: Array) -> Update:
    factor = before / after if update.factor is None else update.factor * before / after
    weight = update.weight * inputs / before[:, None]
    return Update(weight, None if np.all(factor == 1) else factor)


def _rescale_streams(streams: LayerStreams, scales: LayerScales, wide: Array) -> LayerStreams:
    return LayerStreams(
        query=_scale_stream(streams.query, scales.query),
        key=_scale_stream(streams.key, scales.key),
        context=_scale_stream(streams.context, scales.value),
        narrow=tuple(_scale_stream(*each) for each in zip(streams.narrow, scales.narrow, strict=True)),
        wide=_scale_stream(streams.wide, wide),
    )


def _scale_stream(stream: Stream, scale: Array) -> Stream:
    return Stream(stream.scale * scale, stream.offset)


def _scale_inputs(dense: Linear, scale: Array) -> Linear:
    return Linear(dense.weight * scale, dense.bias)
