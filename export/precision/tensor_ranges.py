"""Ranges of the folded graph's tensors, from ranges that were measured on the unfolded model.

A checkpoint ships per-channel quantiles of what its modules compute on real texts. The graph computes affine
images of those, `h = C*u + e` (see `graph.algebra`), so its own quantiles follow without data:
`u = (h - e) / C`, in reverse order where C is negative. A checkpoint without them is measured instead.

Ranges are a mapping from a tensor's name in the graph to float64 [quantiles, channels]; the first row is the
minimum, the last the maximum, and rows i and -1-i are the quantiles q and 1-q.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.checkpoint.reading import Checkpoint
from export.errors import CheckpointError
from export.graph.algebra import Array, Stream, Update
from export.graph.assembly import Precision, build_graph
from export.graph.folding import Folded, Layer
from export.graph.running import open_session, row_inputs, with_outputs
from export.precision.built_in_texts import tokenized_texts

Ranges = Mapping[str, Array]

# The same as in training/ranges.py; tests/test_facts.py compares them.
QUANTILES = (0.0, 0.0001, 0.001, 0.5, 0.999, 0.9999, 1.0)


def tensor_ranges(checkpoint: Checkpoint, folded: Folded) -> dict[str, Array]:
    """Ranges of every tensor that a product of the graph reads or writes, but for the head's.

    They come with the checkpoint, or else are measured: on its golden texts, or on built-in ones.

    Raises:
        CheckpointError: the checkpoint ships ranges, but not of every module.
    """
    if checkpoint.ranges:
        return folded_ranges(checkpoint.ranges, folded)
    rows = [text.input_ids for text in checkpoint.golden] or tokenized_texts(checkpoint)
    return measured_ranges(build_graph(checkpoint, folded, Precision()), folded, rows)


def folded_ranges(ranges: Mapping[str, NDArray[np.float32]], folded: Folded) -> dict[str, Array]:
    """Ranges in the graph's own basis, from `ranges` as a checkpoint ships them.

    Raises:
        CheckpointError: a module's range is missing.
    """
    result = {}
    for name, source, stream in _sources(folded):
        if source not in ranges:
            raise CheckpointError(
                f"activation_ranges.safetensors lacks {source}; delete it: ranges are then measured on the "
                "golden texts"
            )
        result[name] = to_stream(np.asarray(ranges[source], dtype=np.float64), stream)
    return result


def to_stream(quantiles: Array, stream: Stream) -> Array:
    """Quantiles of `u = (h - e) / C`, from those of h; both [quantiles, channels]."""
    images = (quantiles - stream.offset) / stream.scale
    return np.where(stream.scale < 0, images[::-1], images)


def measured_ranges(fp32: ModelProto, folded: Folded, rows: Sequence[Sequence[int]]) -> dict[str, Array]:
    """Ranges of the fp32 graph's tensors over the tokens of `rows` (ids), run one by one."""
    names = [name for name, _, _ in _sources(folded)]
    tensors = [tensor_name(folded, name) for name in names]
    session = open_session(with_outputs(fp32, tensors))
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for ids in rows:
        for name, value in zip(names, session.run(tensors, row_inputs([ids])), strict=True):
            found[name].append(value.reshape(-1, value.shape[-1]))
    return {name: np.quantile(np.concatenate(values), QUANTILES, axis=0) for name, values in found.items()}


def tensor_name(folded: Folded, name: str) -> str:
    """The last layer's context has first tokens only, so its tensor has another name than elsewhere."""
    last = f"layer{len(folded.layers) - 1}"
    return f"{last}.cells" if name == f"{last}.context" else name


def _sources(folded: Folded) -> Iterator[tuple[str, str, Stream]]:
    """Tensor's name, the key of the range that was measured, and the stream that relates them."""
    base = "mobilebert.embeddings"
    yield "embeddings", f"{base}.LayerNorm:output", _identity(folded.positions.shape[1])
    for index, layer in enumerate(folded.layers):
        name, base = f"layer{index}", f"mobilebert.encoder.layer.{index}"
        streams, last = layer.streams, len(layer.feed_forward) - 1
        yield f"{name}.start", f"{base}.bottleneck.input.LayerNorm:output", streams.narrow[0]
        yield f"{name}.query", f"{base}.attention.self.query:output", streams.query
        yield f"{name}.key", f"{base}.attention.self.key:output", streams.key
        yield f"{name}.value", f"{base}.attention.self.value:output", streams.context
        yield f"{name}.context", f"{base}.attention.output.dense:input", streams.context
        state = update_name(f"{name}.attention", layer.attention)
        yield state, f"{base}.attention.output.LayerNorm:output", streams.narrow[1]
        for j, block in enumerate(layer.feed_forward):
            source = base if j == last else f"{base}.ffn.{j}"
            hidden = _identity(len(block.expand.weight))
            yield f"{name}.ffn{j}.in.product", f"{source}.intermediate.dense:output", hidden
            yield f"{name}.ffn{j}.in", f"{source}.output.dense:input", hidden
            state = update_name(f"{name}.ffn{j}.out", block.update)
            yield state, f"{source}.output.LayerNorm:output", streams.narrow[j + 2]
        state = update_name(f"{name}.output", layer.output)
        yield state, f"{base}.output.bottleneck.LayerNorm:output", streams.wide


def narrow_names(index: int, layer: Layer) -> list[str]:
    """The tensors that hold the narrow stream's states in layer `index`, from its start on."""
    blocks = enumerate(layer.feed_forward)
    return [
        f"layer{index}.start",
        update_name(f"layer{index}.attention", layer.attention),
        *(update_name(f"layer{index}.ffn{j}.out", block.update) for j, block in blocks),
    ]


def update_name(name: str, update: Update) -> str:
    """The tensor that holds the stream after `update`, whose product is called `name`."""
    return name if update.factor is None else f"{name}.rescaled"


def _identity(width: int) -> Stream:
    return Stream(np.ones(width), np.zeros(width))
