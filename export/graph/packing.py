"""The part of the graph that packs rows: from ragged ids to windows to one [tokens] vector without padding.

Rows may end in [PAD]; those are dropped, yet a row keeps at least its first position, so that an all-pad or
empty row has a token of its own and never reads its neighbour. [PAD] inside a row is an ordinary token, as in
transformers without an attention mask. Rows longer than the position table become several windows (see
`windows`), rows beyond the longest that is read are cut there, and ids outside the vocabulary become
[UNK]: an error there would fail every other request of the batch.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from export.graph.builder import GraphBuilder
from export.graph.windows import SPECIALS, Windows

# The graph's inputs: ids of all rows, one after the other, and how many each row has.
INPUT_IDS, ITEM_LENGTHS = "input_ids", "item_lengths"


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
    """Names of int64 tensors unless said otherwise; W windows, T tokens, S tokens of the longest window.

    ids: [T, 3] next, current and previous token, or [T] current only.
    position: [T] of a token in its window.
    first: [W] index into T of every window's first token.
    lengths: [W] int32, tokens per window, 1 to the longest position.
    gather: [W, S] index into T of every cell of the padded grid (0 in the padding).
    scatter: [T] index into W*S of every token.
    counts: [B] windows of every row, which lie one after another.
    members: [B, most] index into W of a row's windows; W where it has fewer.
    """

    ids: str
    position: str
    first: str
    lengths: str
    gather: str
    scatter: str
    counts: str
    members: str


def pack_rows(g: GraphBuilder, vocabulary: Vocabulary, windows: Windows, trigram: bool) -> Packed:
    """Add the packing of the inputs `input_ids` [F] int64 and `item_lengths` [B] int32."""
    rows = _rows(g, vocabulary, windows.max_tokens)
    cut = _cut(g, rows, windows)
    longest = g.node("ReduceMax", cut.lengths, keepdims=0, name="windows/longest")
    cells = g.node("Range", 0, longest, 1, name="windows/cells")
    present = g.node("Less", cells, g.node("Unsqueeze", cut.lengths, [1]), name="windows/present")
    window, position = _coordinates(g, present, "packed/position")
    first = g.node("CumSum", cut.lengths, 0, exclusive=1, name="packed/first")
    gather = g.node("Add", g.node("Unsqueeze", first, [1]), cells)
    grid = _window_ids(g, rows, cut, cells, present)
    return Packed(
        ids=_token_ids(g, grid, longest, window, position, vocabulary.no_token, trigram),
        position=position,
        first=first,
        lengths=g.node("Cast", cut.lengths, to=TensorProto.INT32, name="packed/lengths"),
        gather=g.node("Where", present, gather, 0, name="packed/gather"),
        scatter=g.node("Add", g.node("Mul", window, longest), position, name="packed/scatter"),
        counts=cut.counts,
        members=cut.members,
    )


def _coordinates(g: GraphBuilder, present: str, column: str = "") -> tuple[str, str]:
    """Row and column of every true cell of a [rows, columns] mask, row by row."""
    both = g.node("NonZero", present)
    return g.node("Gather", both, 0), g.node("Gather", both, 1, name=column)


@dataclass(frozen=True)
class _Rows:
    """ids: [F + 2] as sent, unknown ones as [UNK], then a [PAD] and a no_token; starts: [B] index of a row's
    first id, of that [PAD] for an empty row; ends: [B] tokens of a row without trailing [PAD]s, at least 1;
    nothing: index of the no_token."""

    ids: str
    starts: str
    ends: str
    nothing: str


def _rows(g: GraphBuilder, vocabulary: Vocabulary, max_tokens: int) -> _Rows:
    lengths = g.node("Cast", ITEM_LENGTHS, to=TensorProto.INT64, name="rows/lengths")
    size = g.node("Size", INPUT_IDS, name="rows/size")
    low, high = g.node("GreaterOrEqual", INPUT_IDS, 0), g.node("Less", INPUT_IDS, vocabulary.size)
    known = g.node("Where", g.node("And", low, high), INPUT_IDS, vocabulary.unk, name="rows/known")
    ids = g.node("Concat", known, [vocabulary.pad], [vocabulary.no_token], axis=0, name="rows/ids")
    starts = g.node("CumSum", lengths, 0, exclusive=1)
    starts = g.node("Where", g.node("Greater", lengths, 0), starts, size, name="rows/starts")
    width = g.node("Max", g.node("ReduceMax", lengths, keepdims=0), 1)
    cells = g.node("Range", 0, g.node("Min", width, max_tokens), 1, name="rows/cells")
    inside = g.node("Less", cells, g.node("Unsqueeze", lengths, [1]), name="rows/inside")
    source = g.node("Add", g.node("Unsqueeze", starts, [1]), cells)
    grid = g.node("Gather", ids, g.node("Where", inside, source, size), name="rows/grid")
    used = g.node("Not", g.node("Equal", grid, vocabulary.pad), name="rows/used")
    used_cells = g.node("Mul", g.node("Cast", used, to=TensorProto.INT64), g.node("Add", cells, 1))
    ends = g.node("Max", g.node("ReduceMax", used_cells, axes=[1], keepdims=0), 1, name="rows/ends")
    return _Rows(ids, starts, ends, g.node("Add", size, 1, name="rows/nothing"))


@dataclass(frozen=True)
class _Cut:
    """row, start, lengths: [W] a window's row, the tokens of the text before it, its own tokens; ends: [W]
    the tokens of its row; counts, members: as in `Packed`."""

    row: str
    start: str
    lengths: str
    ends: str
    counts: str
    members: str


def _cut(g: GraphBuilder, rows: _Rows, windows: Windows) -> _Cut:
    """`count` and `cut` of `windows`, for all rows at once."""
    text = g.node("Sub", rows.ends, SPECIALS, name="rows/text")
    counts = g.node("Div", g.node("Add", text, windows.room - 1), windows.room)
    counts = g.node("Max", counts, 1, name="packed/counts")
    numbers = g.node("Range", 0, g.node("ReduceMax", counts, keepdims=0), 1, name="windows/numbers")
    present = g.node("Less", numbers, g.node("Unsqueeze", counts, [1]))
    row, number = _coordinates(g, present)
    of_row = [g.node("Gather", each, row) for each in (text, counts)]
    share = g.node("Mul", number, of_row[0])
    start = g.node("Div", share, of_row[1], name="windows/start")
    stop = g.node("Div", g.node("Add", share, of_row[0]), of_row[1])
    lengths = g.node("Add", g.node("Sub", stop, start), SPECIALS, name="windows/lengths")
    first = g.node("CumSum", counts, 0, exclusive=1)
    members = g.node("Add", g.node("Unsqueeze", first, [1]), numbers)
    members = g.node("Where", present, members, g.node("Size", row), name="packed/members")
    return _Cut(row, start, lengths, g.node("Gather", rows.ends, row), counts, members)


def _window_ids(g: GraphBuilder, rows: _Rows, cut: _Cut, cells: str, present: str) -> str:
    """[W, S] ids of the windows: their part of the row, between its first and its last id; then no_token."""
    inner = g.node("Add", g.node("Unsqueeze", cut.start, [1]), cells)
    framed = g.node("Where", g.node("Equal", cells, 0), 0, inner)
    last = g.node("Equal", cells, g.node("Unsqueeze", g.node("Sub", cut.lengths, 1), [1]))
    cell = g.node("Where", last, g.node("Unsqueeze", g.node("Sub", cut.ends, 1), [1]), framed)
    start = g.node("Unsqueeze", g.node("Gather", rows.starts, cut.row), [1])
    source = g.node("Where", present, g.node("Add", start, cell), rows.nothing, name="windows/source")
    return g.node("Gather", rows.ids, source, name="windows/ids")


def _token_ids(
    g: GraphBuilder, grid: str, longest: str, window: str, position: str, no_token: int, trigram: bool
) -> str:
    """[T, 3] next, current, previous id; `no_token` beyond a window's ends, where transformers pads zeros."""
    flat = g.node("Reshape", g.node("Pad", grid, [0, 1, 0, 1], no_token), [-1], name="windows/framed")
    current = g.node("Mul", window, g.node("Add", longest, 2))
    current = g.node("Add", g.node("Add", current, position), 1, name="windows/current")
    if not trigram:
        return g.node("Gather", flat, current, name="packed/ids")
    offsets = g.node("Add", g.node("Unsqueeze", current, [1]), [1, 0, -1], name="windows/trigram")
    return g.node("Gather", flat, offsets, name="packed/ids")


def combine_windows(g: GraphBuilder, packed: Packed, logits: str, labels: int, name: str) -> str:
    """[B, labels] mean of every row's windows, from `logits` [W, labels]; one window's mean is itself, bit by
    bit."""
    none = g.constant("windows/none", np.zeros((1, labels), np.float32))
    known = g.node("Concat", logits, none, axis=0)
    total = g.node(
        "ReduceSum", g.node("Gather", known, packed.members), [1], keepdims=0, name=f"{name}/total"
    )
    counts = g.node("Unsqueeze", g.node("Cast", packed.counts, to=TensorProto.FLOAT), [1])
    return g.node("Div", total, counts, name=name)
