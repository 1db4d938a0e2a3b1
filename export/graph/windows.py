"""How a row that is longer than the model's positions is read: in windows of equal length.

    windows = Windows(512)
    windows.cut(ids)          # rows of at most 512 ids, each with the row's own first and last id around it

A row is `[CLS] t1 ... tn [SEP]`. It becomes as few windows as can hold it. Of c windows, window i (from 0)
is `[CLS]`, the tokens from floor(i * n / c) to floor((i + 1) * n / c), and `[SEP]`. The row's logits are the
mean of its windows' logits. docs/explanations/long_documents.md has the alternatives and their figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from export.errors import ExportError

# So many tokens of a row are read at most, [CLS] and [SEP] included: this bounds the memory of a batch.
MAX_TOKENS = 4096
SPECIALS = 2


@dataclass(frozen=True)
class Windows:
    """`positions`: tokens of a full window, [CLS] and [SEP] included.

    Raises:
        ExportError: a window would have no room for a token.
    """

    positions: int

    def __post_init__(self) -> None:
        if self.room < 1:
            raise ExportError(f"max_position_embeddings is {self.positions}: a text needs at least 3")

    @property
    def room(self) -> int:
        """Tokens of the text in a full window."""
        return self.positions - SPECIALS

    @property
    def max_tokens(self) -> int:
        """Most tokens of a row that are read, [CLS] and [SEP] included."""
        return max(self.positions, MAX_TOKENS)

    def as_read(self) -> dict[str, int]:
        """What the tokenizer has to know of the model, as windows.json in its version folder."""
        return {"positions": self.positions, "max_tokens": self.max_tokens}

    def metadata(self) -> dict[str, str]:
        """The ONNX model's metadata, for programs that plan its runs."""
        return {"window_tokens": str(self.positions), "max_tokens": str(self.max_tokens)}

    def count(self, length: int) -> int:
        """Windows of a row of `length` ids."""
        text = min(length, self.max_tokens) - SPECIALS
        return max(1, -(-text // self.room))

    def cut(self, row: Sequence[int]) -> list[list[int]]:
        """The windows of a row; a row that fits into one is that window."""
        row = list(row)[: self.max_tokens]
        count, text = self.count(len(row)), len(row) - SPECIALS
        if count == 1:
            return [row]
        borders = [1 + i * text // count for i in range(count + 1)]
        return [[row[0], *row[borders[i] : borders[i + 1]], row[-1]] for i in range(count)]
