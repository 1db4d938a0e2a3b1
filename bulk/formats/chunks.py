"""Gathers rows into chunks while a file is read, and finds the units while a file is planned."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from bulk.plan import CHUNK_BYTES, CHUNK_ROWS, Unit
from bulk.texts import size_of

Row = TypeVar("Row")


def chunks(rows: Iterator[Row], text: Callable[[Row], object]) -> Iterator[list[Row]]:
    """Lists of rows, each with the texts of one chunk."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        added = size_of(text(row))
        if chunk and (len(chunk) == CHUNK_ROWS or size + added > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += added
    if chunk:
        yield chunk


class Cutter:
    """Cuts a file into units. `row` is called for every row."""

    def __init__(self, unit_rows: int, start: int = 0) -> None:
        self.units: list[Unit] = []
        self._most, self._start, self._rows, self._end = unit_rows, start, 0, start

    def row(self, end: int) -> None:
        """Counts a row that ends at this offset."""
        self._rows += 1
        self._end = end
        if self._rows == self._most:
            self._cut()

    def done(self) -> tuple[Unit, ...]:
        """All units."""
        if self._rows:
            self._cut()
        return tuple(self.units)

    def _cut(self) -> None:
        self.units.append(Unit(len(self.units), self._rows, self._start, self._end))
        self._start, self._rows = self._end, 0
