"""The part of the graph that packs rows: from ragged ids to windows to one [tokens] vector without padding.

[PAD]s at the end of a row are dropped. A row keeps at least its first position, so that an all-pad or empty
row has a token of its own and never reads its neighbour. [PAD] inside a row is an ordinary token, as in
transformers without an attention mask. Rows longer than the position table become several windows (see
`windows`). Rows longer than `max_tokens` are cut there. Ids outside the vocabulary become [UNK]: an error
would fail every other request of the batch.

Each operator costs some microseconds however little it does, which counts for a short text. So there are few
of them, and those that cut and combine windows run only where a row may be long (`If`).
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from export.graph.algebra import Array
from export.graph.builder import GraphBuilder
from export.graph.windows import SPECIALS, Windows

# The graph's inputs: ids of all rows, one after the other, and how many each row has.
INPUT_IDS, ITEM_LENGTHS = "input_ids", "item_lengths"
# The key in the ONNX model's metadata: the id that is dropped at the end of a row.
PADDING_ID = "padding_id"
# Indices of two ids that are appended to those of the rows.
A_PAD, NO_TOKEN = -2, -1


@dataclass(frozen=True)
class Vocabulary:
    """`size` ids, and three more rows of the table of words. Ids are clipped to -1 .. size; these two read
    [UNK] (-1 is the table's last row). `no_token` reads zeros."""

    size: int
    pad: int
    unk: int

    @property
    def no_token(self) -> int:
        return self.size + 1

    def extended(self, words: Array) -> Array:
        """[size + 3, width] from [size + 1, width], whose last row is zero."""
        unknown = words[self.unk : self.unk + 1]
        return np.concatenate([words[:-1], unknown, words[-1:], unknown])


@dataclass(frozen=True)
class Packed:
    """Names of int64 tensors unless said otherwise; W windows, T tokens, S tokens of the longest window.

    ids: [T, 3] next, current and previous token, or [T] current only.
    position: [T] of a token in its window.
    first: [W] index into T of every window's first token.
    lengths: [W] int32, tokens per window, 1 to the number of positions.
    gather: [W, S] index into T of every cell of the padded grid (0 in the padding).
    scatter: [T] index into W*S of every token.
    long: bool, whether a row may have several windows.
    last: [B, 1] index of a row's last token in the row.
    """

    ids: str
    position: str
    first: str
    lengths: str
    gather: str
    scatter: str
    long: str
    last: str


def pack_rows(g: GraphBuilder, vocabulary: Vocabulary, windows: Windows, trigram: bool) -> Packed:
    """Add the packing of the inputs `input_ids` [F] int64 and `item_lengths` [B] int32."""
    rows = _rows(g, vocabulary, windows.max_tokens)
    long = g.node("Greater", rows.width, windows.positions, name="packed/long")
    shapes: dict[str, list[int | None]] = {"ids": [None], "starts": [None, 1], "lengths": [None, 1]}
    ids, starts, lengths = g.either(
        long,
        lambda: _cut(g, rows, windows),
        lambda: _whole(g, rows),
        [helper.make_tensor_value_info(f"windows/{k}", TensorProto.INT64, v) for k, v in shapes.items()],
    )
    # One column more than the longest window has: so a no_token stands behind each window, and before the
    # next one. Before the first window, index -1 reads the last column.
    width = g.node("Add", g.node("ReduceMax", lengths, keepdims=0), 1, name="windows/width")
    cells = g.node("Range", 0, width, 1, name="windows/cells")
    present = g.node("Less", cells, lengths, name="windows/present")
    source = g.node("Where", present, g.node("Add", starts, cells), NO_TOKEN, name="windows/source")
    grid = g.node("Reshape", g.node("Gather", ids, source), [-1], name="windows/grid")
    found = g.node("NonZero", g.node("Reshape", present, [-1]))
    token = g.node("Reshape", found, [-1], name="windows/token")
    first = g.node("CumSum", lengths, 0, exclusive=1, name="windows/first")
    gather = g.node("Where", present, g.node("Add", first, cells), 0)
    if trigram:
        token_ids = g.node("Add", g.node("Unsqueeze", token, [1]), [1, 0, -1], name="windows/trigram")
    else:
        token_ids = token
    return Packed(
        ids=g.node("Gather", grid, token_ids, name="packed/ids"),
        position=g.node("Mod", token, width, name="packed/position"),
        first=g.node("Reshape", first, [-1], name="packed/first"),
        lengths=g.node("Cast", g.node("Reshape", lengths, [-1]), to=TensorProto.INT32, name="packed/lengths"),
        gather=g.node("Slice", gather, [0], [-1], [1], name="packed/gather"),
        scatter=g.node("Sub", token, g.node("Div", token, width), name="packed/scatter"),
        long=long,
        last=rows.last,
    )


@dataclass(frozen=True)
class _Rows:
    """ids: [F + 2] as sent, clipped (see `Vocabulary`), then a [PAD] and a no_token; width: of the longest
    row with its trailing [PAD]s, at most `max_tokens`; source: [B, width] index into ids of every cell;
    last: [B, 1] column of a row's last token."""

    ids: str
    width: str
    source: str
    last: str


def _rows(g: GraphBuilder, vocabulary: Vocabulary, max_tokens: int) -> _Rows:
    known = g.node("Clip", INPUT_IDS, -1, vocabulary.size, name="rows/known")
    ids = g.node("Concat", known, [vocabulary.pad], [vocabulary.no_token], axis=0, name="rows/ids")
    lengths = g.node(
        "Cast", g.node("Unsqueeze", ITEM_LENGTHS, [1]), to=TensorProto.INT64, name="rows/lengths"
    )
    width = g.node("Clip", g.node("ReduceMax", lengths, keepdims=0), 1, max_tokens, name="rows/width")
    cells = g.node("Range", 0, width, 1, name="rows/cells")
    inside = g.node("Less", cells, lengths, name="rows/inside")
    starts = g.node("CumSum", lengths, 0, exclusive=1, name="rows/starts")
    source = g.node("Where", inside, g.node("Add", starts, cells), A_PAD, name="rows/source")
    padding = g.node("Equal", g.node("Gather", ids, source), vocabulary.pad, name="rows/padding")
    used = g.node("Where", padding, 0, cells, name="rows/used")
    last = g.node("ReduceMax", used, axes=[1], keepdims=1, name="rows/last")
    return _Rows(ids, width, source, last)


def _whole(g: GraphBuilder, rows: _Rows) -> list[str]:
    """Every row is one window: the ids, where in them each window starts, how many tokens it has."""
    return [g.node("Identity", rows.ids), _starts(g, rows), g.node("Add", rows.last, 1)]


def _cut(g: GraphBuilder, rows: _Rows, windows: Windows) -> list[str]:
    """`Windows.cut` for all rows at once: the ids of the windows, each with at least one no_token behind it;
    where in them each window starts, how many tokens it has."""
    counts = _counts(g, rows.last, windows)
    numbers = g.node("Range", 0, g.node("ReduceMax", counts, keepdims=0), 1)
    found = g.node("NonZero", g.node("Less", numbers, counts))
    row, number = (g.node("Reshape", g.node("Gather", found, each), [-1, 1]) for each in (0, 1))
    text, count, start_of_row, last = (
        g.node("GatherND", each, row) for each in (_text(g, rows.last), counts, _starts(g, rows), rows.last)
    )
    share = g.node("Mul", number, text)
    start = g.node("Div", share, count, name="cut/start")
    stop = g.node("Div", g.node("Add", share, text), count, name="cut/stop")
    lengths = g.node("Add", g.node("Sub", stop, start), SPECIALS, name="cut/lengths")
    cells = g.node("Range", 0, windows.positions + 1, 1, name="cut/cells")
    inner = g.node("Where", g.node("Equal", cells, 0), 0, g.node("Add", start, cells))
    cell = g.node("Where", g.node("Less", cells, g.node("Sub", lengths, 1)), inner, last, name="cut/cell")
    present = g.node("Less", cells, lengths)
    source = g.node("Where", present, g.node("Add", start_of_row, cell), NO_TOKEN, name="cut/source")
    ids = g.node("Reshape", g.node("Gather", rows.ids, source), [-1], name="cut/ids")
    starts = g.node("Range", 0, g.node("Size", ids), windows.positions + 1)
    return [ids, g.node("Unsqueeze", starts, [1]), lengths]


def _starts(g: GraphBuilder, rows: _Rows) -> str:
    """[B, 1] index of a row's first id; an empty row has that of a [PAD]."""
    return g.node("Slice", rows.source, [0], [1], [1])


def _text(g: GraphBuilder, last: str) -> str:
    """[B, 1] tokens between a row's first and last."""
    return g.node("Sub", last, SPECIALS - 1)


def _counts(g: GraphBuilder, last: str, windows: Windows) -> str:
    """[B, 1] windows of every row, as in `Windows.count`."""
    whole = g.node("Div", g.node("Add", _text(g, last), windows.room - 1), windows.room)
    return g.node("Max", whole, 1)


def combine_windows(
    g: GraphBuilder, packed: Packed, windows: Windows, logits: str, labels: int, name: str
) -> None:
    """Add `name`, [B, labels]: the mean of every row's windows, from `logits` [W, labels]. The logits of a
    row's only window stay the same, bit by bit."""
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, labels])
    g.either(
        packed.long,
        lambda: [_mean(g, packed, windows, logits, labels)],
        lambda: [g.node("Identity", logits)],
        [result],
    )


def _mean(g: GraphBuilder, packed: Packed, windows: Windows, logits: str, labels: int) -> str:
    counts = _counts(g, packed.last, windows)
    numbers = g.node("Range", 0, g.node("ReduceMax", counts, keepdims=0), 1)
    members = g.node("Add", g.node("CumSum", counts, 0, exclusive=1), numbers)
    members = g.node("Where", g.node("Less", numbers, counts), members, -1, name="mean/members")
    nothing = g.constant("mean/nothing", np.zeros((1, labels), np.float32))
    known = g.node("Concat", logits, nothing, axis=0)
    total = g.node("ReduceSum", g.node("Gather", known, members), [1], keepdims=0, name="mean/total")
    return g.node("Div", total, g.node("Cast", counts, to=TensorProto.FLOAT))
