"""How an input is cut into units, and what a reader makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from bulk.errors import BadFile
from bulk.places import Source

# Rows of a unit: a minute of one core at most (IMDB's lengths, int8, two layers).
UNIT_ROWS = 16_384
# What is scored together, and sorted by length: some 50 reviews, or 1,000 short lines.
CHUNK_BYTES, CHUNK_ROWS = 1 << 16, 1024


@dataclass(frozen=True)
class Unit:
    """Rows `start` to `stop` of row group `group` (parquet), or bytes of the decompressed file (others)."""

    number: int
    rows: int
    start: int
    stop: int
    group: int = 0


@dataclass(frozen=True)
class Planned:
    """What one look at a file tells: its columns, its units, and the hash of its content (of parquet: of its
    footer)."""

    schema: pa.Schema
    units: tuple[Unit, ...]
    sha256: str

    @property
    def rows(self) -> int:
        """Of the whole file."""
        return sum(unit.rows for unit in self.units)


@dataclass(frozen=True)
class Rows:
    """Some rows of a unit: the input's columns, and of each row the text, or what stands in its place."""

    columns: pa.RecordBatch
    texts: Sequence[object]


@dataclass(frozen=True)
class Task:
    """Units of one file that are read in one go, in their order."""

    source: Source
    schema: pa.Schema
    units: tuple[Unit, ...]


# The rows of some units, in order.
UnitRows = Iterator[tuple[Unit, Rows]]


def no_column(names: Sequence[str], wanted: str) -> BadFile:
    """The file lacks the texts' column."""
    shown = ", ".join(repr(name[:40]) for name in names[:20]) + (" and more" if len(names) > 20 else "")
    return BadFile(f"has no column {wanted!r}; it has {shown or 'none'}")
