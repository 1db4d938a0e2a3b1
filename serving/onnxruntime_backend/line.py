"""Rows in the order in which they are due."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.onnxruntime_backend.tickets import Ticket


@dataclass(frozen=True)
class Piece:
    """A row of a request, or a whole request that is not cut."""

    ticket: Ticket
    row: int

    @property
    def tokens(self) -> int:
        """Its cost."""
        return self.ticket.sizes[self.row]


@dataclass(eq=False)
class Portion:
    """Rows of one request that are due at the same time, and their tokens together."""

    ticket: Ticket
    rows: list[int]
    due: float
    tokens: int


class Line:
    """Portions by due time; those due at the same time keep the order in which they came."""

    def __init__(self) -> None:
        self._portions: list[Portion] = []
        self.tokens = 0

    def __bool__(self) -> bool:
        return bool(self._portions)

    def add(self, portions: Iterable[Portion]) -> None:
        """Put portions in their places."""
        for portion in portions:
            insort(self._portions, portion, key=_due)
            self.tokens += portion.tokens

    def after(self, due: float) -> list[Portion]:
        """The portions that are due later than this."""
        return self._portions[bisect_right(self._portions, due, key=_due) :]

    def first(self, tokens: int, rows: int) -> list[Piece]:
        """The pieces that are due first: at most so many tokens and rows, but at least one piece."""
        found: list[Piece] = []
        total = 0
        for portion in self._portions:
            for row in portion.rows:
                total += portion.ticket.sizes[row]
                if found and (total > tokens or len(found) == rows):
                    return found
                found.append(Piece(portion.ticket, row))
        return found

    def take(self, pieces: Sequence[Piece]) -> None:
        """Remove these pieces, which `first` named."""
        taken = {(id(piece.ticket), piece.row) for piece in pieces}
        missing, number = len(taken), 0
        while missing:
            portion = self._portions[number]
            gone = [row for row in portion.rows if (id(portion.ticket), row) in taken]
            missing -= len(gone)
            portion.rows = [row for row in portion.rows if row not in gone]
            portion.tokens -= sum(portion.ticket.sizes[row] for row in gone)
            if portion.rows:
                number += 1
            else:
                del self._portions[number]
        self.tokens -= sum(piece.tokens for piece in pieces)

    def discard(self, ticket: Ticket) -> None:
        """Remove what is left of a request."""
        self.tokens -= sum(each.tokens for each in self._portions if each.ticket is ticket)
        self._portions = [each for each in self._portions if each.ticket is not ticket]


def _due(portion: Portion) -> float:
    return portion.due
