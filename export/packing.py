"""The part of the graph that packs rows: from ragged ids to one [tokens] vector without padding.

Rows may end in [PAD]; those are dropped, yet a row keeps at least its first position, so that an all-pad or
empty row has a token of its own and never reads its neighbour. [PAD] inside a row is an ordinary token, as in
transformers without an attention mask. Rows longer than the position table are cut to its length, and ids
outside the vocabulary become [UNK]: an error there would fail every other request of the batch.
"""

from dataclasses import dataclass

from onnx import TensorProto

from export.builder import GraphBuilder


@dataclass(frozen=True)
class Vocabulary:
    """`size` ids; `no_token` (= size) is the word table's zero row."""

    size: int
    pad: int
    unk: int

    @property
    def no_token(self) -> int:
        return self.size


@dataclass(frozen=True)
class Packed:
    """Names of int64 tensors unless said otherwise; B rows, T tokens, S tokens of the longest row.

    ids: [T, 3] next, current and previous token, or [T] current only.
    position: [T] of a token in its row.
    first: [B] index into T of every row's first token.
    lengths: [B] int32, tokens per row, 1 to the longest position.
    gather: [B, S] index into T of every cell of the padded grid (0 in the padding).
    scatter: [T] index into B*S of every token.
    """

    ids: str
    position: str
    first: str
    lengths: str
    gather: str
    scatter: str


def pack_rows(g: GraphBuilder, vocabulary: Vocabulary, max_length: int, trigram: bool) -> Packed:
    """Add the packing of the inputs `input_ids` [F] int64 and `item_lengths` [B] int32."""
    grid = _id_grid(g, vocabulary, max_length)
    lengths = _row_lengths(g, grid, vocabulary)
    longest = g.node("ReduceMax", lengths, keepdims=0, name="rows/longest")
    cells = g.node("Range", 0, longest, 1, name="rows/cells")
    present = g.node("Less", cells, g.node("Unsqueeze", lengths, [1]), name="rows/present")
    coordinates = g.node("NonZero", present, name="rows/coordinates")
    row = g.node("Gather", coordinates, 0, name="rows/row")
    position = g.node("Gather", coordinates, 1, name="rows/position")
    first = g.node("CumSum", lengths, 0, exclusive=1, name="rows/first")
    gather = g.node("Add", g.node("Unsqueeze", first, [1]), cells)
    return Packed(
        ids=_token_ids(g, grid, lengths, row, position, vocabulary, trigram),
        position=position,
        first=first,
        lengths=g.node("Cast", lengths, to=TensorProto.INT32, name="rows/lengths"),
        gather=g.node("Where", present, gather, 0, name="rows/gather"),
        scatter=g.node("Add", g.node("Mul", row, longest), position, name="rows/scatter"),
    )


@dataclass(frozen=True)
class _Grid:
    """ids: [B, width] as sent, [PAD] beyond a row's end; cells: [width] 0, 1, ...; width: scalar."""

    ids: str
    cells: str
    width: str


def _id_grid(g: GraphBuilder, vocabulary: Vocabulary, max_length: int) -> _Grid:
    lengths = g.node("Cast", "item_lengths", to=TensorProto.INT64, name="input/lengths")
    starts = g.node("CumSum", lengths, 0, exclusive=1, name="input/starts")
    width = g.node("Max", g.node("ReduceMax", lengths, keepdims=0), 1)
    width = g.node("Min", width, max_length, name="input/width")
    cells = g.node("Range", 0, width, 1, name="input/cells")
    inside = g.node("Less", cells, g.node("Unsqueeze", lengths, [1]), name="input/inside")
    source = g.node("Add", g.node("Unsqueeze", starts, [1]), cells)
    padding = g.node("Size", "input_ids", name="input/size")
    padded = g.node("Concat", "input_ids", [vocabulary.pad], axis=0, name="input/padded")
    ids = g.node("Gather", padded, g.node("Where", inside, source, padding), name="input/grid")
    known = g.node("And", g.node("GreaterOrEqual", ids, 0), g.node("Less", ids, vocabulary.size))
    return _Grid(g.node("Where", known, ids, vocabulary.unk, name="input/ids"), cells, width)


def _row_lengths(g: GraphBuilder, grid: _Grid, vocabulary: Vocabulary) -> str:
    """[B] int64: where a row's last id other than [PAD] ends, at least 1."""
    used = g.node("Not", g.node("Equal", grid.ids, vocabulary.pad), name="input/used")
    ends = g.node("Mul", g.node("Cast", used, to=TensorProto.INT64), g.node("Add", grid.cells, 1))
    return g.node("Max", g.node("ReduceMax", ends, axes=[1], keepdims=0), 1, name="rows/lengths64")


def _token_ids(
    g: GraphBuilder, grid: _Grid, lengths: str, row: str, position: str, vocabulary: Vocabulary, trigram: bool
) -> str:
    """[T, 3] next, current, previous id; `no_token` beyond the row's ends, where transformers pads zeros."""
    inside = g.node("Less", grid.cells, g.node("Unsqueeze", lengths, [1]))
    framed = g.node(
        "Pad", g.node("Where", inside, grid.ids, vocabulary.no_token), [0, 1, 0, 1], vocabulary.no_token
    )
    flat = g.node("Reshape", framed, [-1], name="input/framed")
    current = g.node("Mul", row, g.node("Add", grid.width, 2))
    current = g.node("Add", g.node("Add", current, position), 1, name="rows/current")
    if not trigram:
        return g.node("Gather", flat, current, name="rows/ids")
    offsets = g.node("Add", g.node("Unsqueeze", current, [1]), [1, 0, -1], name="rows/trigram")
    return g.node("Gather", flat, offsets, name="rows/ids")
