"""The fp16 precision: every tensor is scaled by powers of two into half precision's range, then stored in it.

Half precision ends at 65504, and MobileBERT's activations pass 1e7, so a plain conversion overflows. The
folded graph may compute any tensor x as x/s (see `rebasing`, whose identities are exact for powers of two),
so from the measured peak p of every channel of every tensor

    s = 2^ceil(log2(p / PEAK))      and therefore |x/s| <= PEAK = 1024,

64 times below the limit on the measured texts. So other texts may reach values 64 times as large, and fit.
A residual stream keeps one s per channel from state to state, as long as none of its states falls below 2^-12
of that channel's largest: there the sum is multiplied by a power of two and the scale starts afresh.
Queries and keys are scaled against each other, s_q * s_k = 2^m, and attention multiplies its scores by 2^m.
Attention's scores and softmax, the pooler and the classifier work in float32: scores are differences of large
numbers, and the exponential turns an absolute error of theirs into a relative one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto

from export.checkpoint.reading import Checkpoint
from export.errors import ExportError
from export.graph.algebra import Array, Update
from export.graph.assembly import Precision, build_graph
from export.graph.builder import GraphBuilder
from export.graph.folding import Folded, Layer, fold
from export.precision.rebasing import LayerScales, Scales, rescale
from export.precision.tensor_ranges import narrow_names, tensor_ranges, update_name

PEAK = 2.0**10
DRIFT = 2.0**12
# Half precision ends below 2^16. The readers of a state that has fallen by DRIFT have weights DRIFT times
# larger, so weights up to 8 still fit.
LARGEST_WEIGHT = 2.0**15

Peaks = Mapping[str, Array]


class Half(Precision):
    """Half precision but for attention and the head."""

    dtype = np.float16

    def store(self, g: GraphBuilder, name: str, array: Array) -> str:
        largest = np.abs(array).max(initial=0)
        if not largest <= LARGEST_WEIGHT:
            raise ExportError(
                f"fp16: {name} needs values up to {largest:.3g}: its channels cancel further than half "
                "precision can follow; export with --precision fp32"
            )
        return super().store(g, name, array)

    def to_float32(self, g: GraphBuilder, name: str, x: str) -> str:
        return g.node("Cast", x, to=TensorProto.FLOAT, name=name)

    def from_float32(self, g: GraphBuilder, name: str, x: str) -> str:
        return g.node("Cast", x, to=TensorProto.FLOAT16, name=name)


def build_fp16(checkpoint: Checkpoint) -> ModelProto:
    """The folded, packed graph in half precision, scaled to stay inside its range.

    Raises:
        CheckpointError: the checkpoint ships ranges, but not of every module.
        ExportError: its weights fit half precision in no basis of powers of two.
    """
    return build_graph(checkpoint, fold_into_range(checkpoint), Half())


def build_fp16_twin(checkpoint: Checkpoint) -> ModelProto:
    """The same tensors in float32, to find the tensor where half precision goes wrong."""
    return build_graph(checkpoint, fold_into_range(checkpoint), Precision())


def fold_into_range(checkpoint: Checkpoint) -> Folded:
    """The folded classifier in a basis that brings its tensors inside half precision's range.

    Raises:
        CheckpointError: the checkpoint ships ranges, but not of every module.
    """
    folded = fold(checkpoint.config, checkpoint.weights)
    ranges = tensor_ranges(checkpoint, folded)
    peaks = {name: np.abs(each[[0, -1]]).max(axis=0) for name, each in ranges.items()}
    return rescale(folded, choose_scales(folded, peaks))


def choose_scales(folded: Folded, peaks: Peaks) -> Scales:
    """Powers of two that bring every tensor's peak to PEAK or below.

    `peaks` holds the largest magnitude of every channel, by tensor name as in `tensor_ranges.tensor_ranges`.
    """
    positions = np.abs(folded.positions).max(axis=0)
    states, updates = [np.maximum(positions, peaks["embeddings"])], []
    for index, layer in enumerate(folded.layers):
        states.append(peaks[update_name(f"layer{index}.output", layer.output)])
        updates.append((layer.output, peaks[narrow_names(index, layer)[-1]]))
    return Scales(
        words=powers_of_two(np.abs(folded.words).max(axis=0)),
        wide=stream_scales(states, updates),
        layers=[_layer_scales(index, layer, peaks) for index, layer in enumerate(folded.layers)],
    )


def powers_of_two(peaks: Array) -> Array:
    """`2^ceil(log2(p / PEAK))`, and 1 for channels that are always zero."""
    return np.exp2(np.ceil(np.log2(np.where(peaks > 0, peaks, PEAK) / PEAK)))


def stream_scales(states: Sequence[Array], updates: Sequence[tuple[Update, Array]]) -> list[Array]:
    """One scale for each state of a residual stream, changed only where one cannot serve (see the module).

    states: peaks of every state, [width] each; updates: between them, with the peaks of what each reads.
    """
    segments = [[0]]
    for index, (update, _) in enumerate(updates, start=1):
        if update.factor is not None or _drifts([*(states[i] for i in segments[-1]), states[index]]):
            segments.append([])
        segments[-1].append(index)
    scales = []
    for segment in segments:
        covered = [states[i] for i in segment]
        if segment[-1] < len(updates):
            covered.append(_sum_peaks(states[segment[-1]], states[segment[-1] + 1], *updates[segment[-1]]))
        scales += [powers_of_two(np.max(covered, axis=0))] * len(segment)
    return scales


def _drifts(states: Sequence[Array]) -> bool:
    alive = [np.where(state > 0, state, np.nan) for state in states]
    with np.errstate(all="ignore"):
        spread = np.fmax.reduce(alive) / np.fmin.reduce(alive)
    return bool(np.any(spread > DRIFT))


def _sum_peaks(before: Array, after: Array, update: Update, inputs: Array) -> Array:
    """Peaks of a sum before its factor, which are not measured: from those behind it, or an upper bound."""
    if update.factor is None:
        return after
    return before + np.abs(update.weight) @ inputs


def _layer_scales(index: int, layer: Layer, peaks: Peaks) -> LayerScales:
    name, names = f"layer{index}", narrow_names(index, layer)
    inputs = [peaks[f"{name}.context"], *(peaks[f"{name}.ffn{j}.in"] for j in range(len(layer.feed_forward)))]
    updates = [layer.attention, *(block.update for block in layer.feed_forward)]
    query, key, exponent = score_scales(peaks[f"{name}.query"], peaks[f"{name}.key"])
    return LayerScales(
        query=query,
        key=key,
        value=powers_of_two(peaks[f"{name}.value"]),
        narrow=stream_scales([peaks[each] for each in names], list(zip(updates, inputs, strict=True))),
        hidden=[powers_of_two(peaks[f"{name}.ffn{j}.in.product"]) for j in range(len(layer.feed_forward))],
        exponent=exponent,
    )


def score_scales(query: Array, key: Array) -> tuple[Array, Array, int]:
    """Scales of queries and keys, whose product is 2^m in every channel, and m; from their peaks."""
    wanted_query, wanted_key = np.log2(powers_of_two(query)), np.log2(powers_of_two(key))
    exponent = max(int((wanted_query + wanted_key).max()), 0)
    query_exponents = np.ceil((wanted_query - wanted_key + exponent) / 2)
    return np.exp2(query_exponents), np.exp2(exponent - query_exponents), exponent
