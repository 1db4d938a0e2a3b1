"""CSV, TSV and their kin: every row has the header's fields, or the file is refused with the row's number."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence

from training.tables.table import DataError, Table

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LONGEST_HEADER = 100


def read_delimited(text: str, source: str, delimiter: str, wanted: Sequence[str]) -> Table:
    """Rows of `text` under its header. `delimiter` is what the file's name suggests.

    If only another one finds the `wanted` columns, that is taken, and a note says so. Raises `DataError`.
    """
    csv.field_size_limit(sys.maxsize)  # the default refuses texts of more than 131,072 characters
    text, hinted = _without_hint(text)
    chosen = hinted or _choose(text, delimiter, wanted)
    header, rows = _checked(text, source, chosen)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    table = Table(source, header, columns)
    if chosen != delimiter:
        table.note(f"values are separated by {DELIMITERS.get(chosen, repr(chosen))}")
    return table


def count_rows(text: str) -> int:
    """Rows that begin in `text`, the header not counted: for naming a row that cannot be read."""
    rows = 0
    try:
        for record in csv.reader(io.StringIO(text, newline="")):
            rows += bool(record)
    except csv.Error:
        rows += 1
    return rows - 1


def _without_hint(text: str) -> tuple[str, str]:
    """Excel's first line `sep=;` cut off, and its delimiter."""
    line, _, rest = text.partition("\n")
    hint = line.strip("\r")
    return (rest, hint[4]) if hint.startswith("sep=") and len(hint) == 5 else (text, "")


def _choose(text: str, suggested: str, wanted: Sequence[str]) -> str:
    others = [delimiter for delimiter in DELIMITERS if delimiter != suggested]
    headers = {delimiter: _header(text, delimiter) for delimiter in (suggested, *others)}
    for delimiter, header in headers.items():
        if header and all(Table("", header, []).finds(name) for name in wanted):
            return delimiter
    if len(headers[suggested]) > 1:
        return suggested
    return max(headers, key=lambda delimiter: len(headers[delimiter]))


def _header(text: str, delimiter: str) -> list[str]:
    lines = io.StringIO(text, newline="")
    try:
        return next((row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row), [])
    except csv.Error:
        return []


def _checked(text: str, source: str, delimiter: str) -> tuple[list[str], list[list[str]]]:
    rows: list[list[str]] = []
    records = _records(text, source, delimiter)
    header = next(records)
    for record in records:
        if len(record) != len(header):
            raise DataError(_uneven(source, len(rows) + 1, record, header, delimiter))
        rows.append(record)
    return header, rows


def _records(text: str, source: str, delimiter: str) -> Iterator[list[str]]:
    """The records that are not blank lines, the header first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{source}, row {row}: {_advice(error)}") from error
        if record is None:
            return
        if record:
            yield record
            row += 1


def _advice(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return (
            'a quote (") that opens here is never closed; close it, or write it twice inside a quoted text.'
        )
    return (
        'a text goes on after its closing quote ("); put the whole text in quotes, and write a quote that '
        "belongs to it twice."
    )


def _uneven(source: str, row: int, record: list[str], header: list[str], delimiter: str) -> str:
    names = ", ".join(header)
    shown = names if len(names) <= LONGEST_HEADER else f"{names[:LONGEST_HEADER]}..."
    start = f"{source}, row {row}: {len(record)} values where the header has {len(header)} ({shown})"
    if len(record) > len(header):
        kind = DELIMITERS.get(delimiter, repr(delimiter))
        return f"{start}; put a text that holds {kind} in double quotes."
    return f"{start}; a value is missing, or a text with a line break lacks its double quotes."
