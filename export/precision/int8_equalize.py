"""Channels of a quantized tensor brought to similar ranges, at no cost: the scales fold into its neighbours.

A tensor x that products read is quantized with one scale, so its widest channel decides the resolution of
all. The graph may compute `x / s` instead, for any positive per-channel s (see `rebasing`). The weights of
its readers are multiplied by s, so

    s = range(x)^alpha / range(W)^(1 - alpha)

shares the difficulty (SmoothQuant, arXiv:2211.10438, equation 4): alpha 1 flattens the activation, 0 the
weights. A residual stream keeps one s throughout; queries and keys, which no product reads, keep theirs.
"""

from collections.abc import Iterable

import numpy as np

from export.graph.algebra import Array
from export.graph.folding import Folded, Layer
from export.precision.rebasing import LayerScales, Scales
from export.precision.tensor_ranges import Ranges, narrow_names, update_name


def equalizing_scales(folded: Folded, ranges: Ranges, alpha: float) -> Scales:
    """Scales of every tensor, from its ranges (see `tensor_ranges`) and its readers' weights."""
    wide = _wide_scale(folded, ranges, alpha)
    return Scales(
        words=_words_scale(folded, alpha),
        wide=[wide] * (len(folded.layers) + 1),
        layers=[_layer_scales(i, layer, ranges, alpha) for i, layer in enumerate(folded.layers)],
    )


def divide_ranges(ranges: Ranges, folded: Folded, scales: Scales) -> dict[str, Array]:
    """The ranges that tensors have in the basis of `scales`."""
    divided = {**ranges, "embeddings": ranges["embeddings"] / scales.wide[0]}
    for index, (layer, own) in enumerate(zip(folded.layers, scales.layers, strict=True)):
        name = f"layer{index}"
        by_tensor = dict(zip(narrow_names(index, layer), own.narrow, strict=True))
        by_tensor |= {f"{name}.ffn{j}.in": scale for j, scale in enumerate(own.hidden)}
        by_tensor[f"{name}.context"] = own.value
        by_tensor[update_name(f"{name}.output", layer.output)] = scales.wide[index + 1]
        divided |= {tensor: ranges[tensor] / scale for tensor, scale in by_tensor.items()}
    return divided


def channel_scales(peaks: Array, readers: Iterable[Array], alpha: float) -> Array:
    """`s` of the module's docstring, around 1; peaks [channels], readers' weights [out, channels]."""
    columns = np.max([np.abs(weight).max(0) for weight in readers], axis=0)
    alive = (peaks > 0) & (columns > 0)
    scales = np.ones_like(peaks)
    scales[alive] = peaks[alive] ** alpha / columns[alive] ** (1 - alpha)
    scales[alive] /= np.exp(np.log(scales[alive]).mean()) if alive.any() else 1
    return scales


def _words_scale(folded: Folded, alpha: float) -> Array:
    width = folded.words.shape[1]
    if folded.transformation is None:
        return np.ones(width)
    columns = folded.transformation.weight.reshape(-1, width)
    return channel_scales(np.abs(folded.words).max(0), [columns], alpha)


def _wide_scale(folded: Folded, ranges: Ranges, alpha: float) -> Array:
    if not folded.layers:
        return np.ones(folded.positions.shape[1])
    before_last = enumerate(folded.layers[:-1])
    read = ["embeddings", *(update_name(f"layer{i}.output", layer.output) for i, layer in before_last)]
    return channel_scales(_peaks(ranges, read), [layer.read.weight for layer in folded.layers], alpha)


def _layer_scales(index: int, layer: Layer, ranges: Ranges, alpha: float) -> LayerScales:
    name, blocks = f"layer{index}", list(enumerate(layer.feed_forward))
    readers = [layer.output.weight, *(block.expand.weight for _, block in blocks)]
    narrow_scale = channel_scales(_peaks(ranges, narrow_names(index, layer)[1:]), readers, alpha)
    ones = np.ones_like(narrow_scale)
    return LayerScales(
        query=ones,
        key=ones,
        value=channel_scales(_peaks(ranges, [f"{name}.context"]), [layer.attention.weight], alpha),
        narrow=[narrow_scale] * (len(blocks) + 2),
        hidden=[
            channel_scales(_peaks(ranges, [f"{name}.ffn{j}.in"]), [block.update.weight], alpha)
            for j, block in blocks
        ],
        exponent=0,
    )


def _peaks(ranges: Ranges, names: Iterable[str]) -> Array:
    return np.max([np.abs(ranges[name][[0, -1]]).max(0) for name in names], axis=0)
