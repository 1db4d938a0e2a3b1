"""CSV and TSV with a header. Every column is text, as the file has it.

Records are found by the parser itself, which alone knows whether a line's end lies inside quotes.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from bulk.errors import BadFile
from bulk.formats.chunks import Cutter, chunks
from bulk.formats.lines import BOM, LONGEST, Lines, open_lines
from bulk.places import Source
from bulk.plan import Planned, Rows, Task, UnitRows, no_column
from bulk.texts import BadText

DELIMITERS = {"csv": ",", "tsv": "\t"}


class Records:
    """The records of lines."""

    def __init__(self, lines: Lines, delimiter: str, digest: "hashlib._Hash | None" = None) -> None:
        csv.field_size_limit(LONGEST)
        self._lines, self._digest = lines, digest
        self._table = csv.reader(self._texts(), delimiter=delimiter)

    @property
    def at(self) -> int:
        """Offset behind the last record."""
        return self._lines.at

    def __iter__(self) -> Iterator[list[str]]:
        """Records that are not empty. Raises BadFile."""
        try:
            yield from (record for record in self._table if record)
        except csv.Error as error:
            where = f"from line {self._table.line_num}" if self._digest else "to its end"
            raise BadFile(f"can't be read as CSV {where}: {error}") from None

    def _texts(self) -> Iterator[str]:
        for line in self._lines:
            if line is None:
                raise csv.Error(f"a line is longer than {LONGEST >> 20} MiB")
            if self._digest:
                self._digest.update(line)
            # surrogateescape keeps the bytes of what is not UTF-8, so that only its row gets an error.
            first = self.at == len(line)
            yield (line.removeprefix(BOM) if first else line).decode("utf-8", "surrogateescape")


def plan(source: Source, column: str, unit_rows: int) -> Planned:
    """Raises BadFile."""
    digest = hashlib.sha256()
    with open_lines(source) as file:
        records = Records(file.from_(0), DELIMITERS[source.form], digest)
        rows = iter(records)
        names = [_valid(name) for name in next(rows, [])]
        if names and column not in names:
            raise no_column(names, column)
        if len(set(names)) < len(names):
            raise BadFile("has two columns of one name in its header")
        cutter = Cutter(unit_rows, records.at)
        for _ in rows:
            cutter.row(records.at)
    return Planned(pa.schema([(name, pa.string()) for name in names]), cutter.done(), digest.hexdigest())


def read(task: Task, column: str) -> UnitRows:
    """Raises BadFile."""
    place = task.schema.get_field_index(column)
    with open_lines(task.source) as file:
        for unit in task.units:
            records = Records(file.from_(unit.start), DELIMITERS[task.source.form])
            for chunk in chunks(_until(records, unit.stop), lambda record: _text(record, place)):
                texts = [_checked(record, place, len(task.schema)) for record in chunk]
                yield unit, Rows(_table(chunk, task.schema), texts)


def _until(records: Records, stop: int) -> Iterator[list[str]]:
    rows = iter(records)
    while records.at < stop and (record := next(rows, None)) is not None:
        yield record


def _text(record: Sequence[str], place: int) -> str | None:
    return record[place] if place < len(record) else None


def _checked(record: Sequence[str], place: int, width: int) -> object:
    if len(record) != width:
        return BadText(f"the row has {len(record)} fields, the header {width}")
    return record[place].encode("utf-8", "surrogateescape")


def _table(records: Sequence[Sequence[str]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [[_field(record, place) for record in records] for place in range(len(schema))]
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema)


def _field(record: Sequence[str], place: int) -> str | None:
    text = _text(record, place)
    return None if text is None else _valid(text)


def _valid(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
