"""Channels of a quantized tensor brought to similar ranges, at no cost: the scales fold into its neighbours.

A tensor x that products read is quantized with one scale, so its widest channel decides the resolution of
all. The folded graph is free to compute `x / s` for any positive per-channel s instead: producers divide
their rows by s, readers multiply their columns (Relu and the attention average commute with positive scales;
a residual stream keeps one s throughout). What the activation gains the weights lose, so

    s = range(x)^alpha / range(W)^(1 - alpha)

shares the difficulty (SmoothQuant, arXiv:2211.10438, equation 4): alpha 1 flattens the activation, 0 the
weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from export.folding import Array, FeedForward, Folded, Layer, Linear, Update
from export.graph import START, VALUE
from export.ranges import Ranges


def equalize(folded: Folded, ranges: Ranges, alpha: float) -> tuple[Folded, dict[str, Array]]:
    """The same classifier with equalized channels, and the ranges that its tensors then have."""
    ranges = dict(ranges)
    folded = _equalize_words(folded, alpha)
    folded = _equalize_wide(folded, ranges, alpha)
    layers = [_equalize_layer(f"layer{i}", layer, ranges, alpha) for i, layer in enumerate(folded.layers)]
    return replace(folded, layers=tuple(layers)), ranges


def channel_scales(peaks: Array, readers: Iterable[Array], alpha: float) -> Array:
    """`s` of the module's docstring, around 1; peaks [channels], readers' weights [out, channels]."""
    columns = np.max([np.abs(weight).max(0) for weight in readers], axis=0)
    alive = (peaks > 0) & (columns > 0)
    scales = np.ones_like(peaks)
    scales[alive] = peaks[alive] ** alpha / columns[alive] ** (1 - alpha)
    scales[alive] /= np.exp(np.log(scales[alive]).mean()) if alive.any() else 1
    return scales


def _equalize_words(folded: Folded, alpha: float) -> Folded:
    if folded.transformation is None:
        return folded
    width = folded.words.shape[1]
    columns = folded.transformation.weight.reshape(-1, width)
    scales = channel_scales(np.abs(folded.words).max(0), [columns], alpha)
    repeated = np.tile(scales, folded.transformation.weight.shape[1] // width)
    return replace(
        folded, words=folded.words / scales, transformation=_scale_inputs(folded.transformation, repeated)
    )


def _equalize_wide(folded: Folded, ranges: dict[str, Array], alpha: float) -> Folded:
    if not folded.layers:
        return folded
    names = [name for name in ranges if _is_wide(name)]
    last = f"layer{len(folded.layers) - 1}."
    read = [name for name in names if not name.startswith(last)]
    scales = channel_scales(_peaks(ranges, read), [layer.read.weight for layer in folded.layers], alpha)
    _scale_ranges(ranges, names, scales)
    head = folded.pooler or folded.classifier
    head = _scale_inputs(head, scales)
    transformation = folded.transformation
    return replace(
        folded,
        words=folded.words if transformation else folded.words / scales,
        positions=folded.positions / scales,
        transformation=_scale_outputs(transformation, scales) if transformation else None,
        layers=tuple(_scale_layer_wide(layer, scales) for layer in folded.layers),
        pooler=head if folded.pooler else None,
        classifier=folded.classifier if folded.pooler else head,
    )


def _scale_layer_wide(layer: Layer, scales: Array) -> Layer:
    return replace(layer, read=_scale_inputs(layer.read, scales), output=_scale_update(layer.output, scales))


def _equalize_layer(name: str, layer: Layer, ranges: dict[str, Array], alpha: float) -> Layer:
    blocks = tuple(
        _equalize_hidden(f"{name}.ffn{j}.in", block, ranges, alpha)
        for j, block in enumerate(layer.feed_forward)
    )
    layer = _equalize_context(name, replace(layer, feed_forward=blocks), ranges, alpha)
    return _equalize_narrow(name, layer, ranges, alpha)


def _equalize_hidden(name: str, block: FeedForward, ranges: dict[str, Array], alpha: float) -> FeedForward:
    scales = channel_scales(_peaks(ranges, [name]), [block.update.weight], alpha)
    _scale_ranges(ranges, [name], scales)
    update = replace(block.update, weight=block.update.weight * scales)
    return FeedForward(_scale_outputs(block.expand, scales), update)


def _equalize_context(name: str, layer: Layer, ranges: dict[str, Array], alpha: float) -> Layer:
    scales = channel_scales(_peaks(ranges, [f"{name}.context"]), [layer.attention.weight], alpha)
    _scale_ranges(ranges, [f"{name}.context"], scales)
    attention = replace(layer.attention, weight=layer.attention.weight * scales)
    return replace(layer, read=_scale_part(layer.read, VALUE, scales), attention=attention)


def _equalize_narrow(name: str, layer: Layer, ranges: dict[str, Array], alpha: float) -> Layer:
    states = [key for key in ranges if key.startswith(f"{name}.") and _is_narrow(key)]
    read = [key for key in states if not key.endswith(".start")]
    readers = [layer.output.weight, *(block.expand.weight for block in layer.feed_forward)]
    scales = channel_scales(_peaks(ranges, read), readers, alpha)
    _scale_ranges(ranges, states, scales)
    blocks = tuple(
        FeedForward(_scale_inputs(block.expand, scales), _scale_update(block.update, scales))
        for block in layer.feed_forward
    )
    return replace(
        layer,
        read=_scale_part(layer.read, START, scales),
        attention=_scale_update(layer.attention, scales),
        feed_forward=blocks,
        output=replace(layer.output, weight=layer.output.weight * scales),
    )


def _scale_outputs(dense: Linear, scales: Array) -> Linear:
    return Linear(dense.weight / scales[:, None], None if dense.bias is None else dense.bias / scales)


def _scale_inputs(dense: Linear, scales: Array) -> Linear:
    return Linear(dense.weight * scales, dense.bias)


def _scale_update(update: Update, scales: Array) -> Update:
    return replace(update, weight=update.weight / scales[:, None])


def _scale_part(read: Linear, part: int, scales: Array) -> Linear:
    """`read` with one of its four parts (see Layer.read) divided by `scales`."""
    factors = np.ones(len(read.weight))
    factors[part * len(scales) : (part + 1) * len(scales)] = scales
    return _scale_outputs(read, factors)


def _is_wide(name: str) -> bool:
    return name.removesuffix(".rescaled").split(".")[-1] in ("embeddings", "output")


def _is_narrow(name: str) -> bool:
    return name.removesuffix(".rescaled").split(".")[-1] in ("start", "attention", "out")


def _peaks(ranges: Mapping[str, Array], names: Iterable[str]) -> Array:
    return np.max([np.abs(ranges[name][[0, -1]]).max(0) for name in names], axis=0)


def _scale_ranges(ranges: dict[str, Array], names: Iterable[str], scales: Array) -> None:
    for name in names:
        ranges[name] = ranges[name] / scales
