"""Parts of the output: parquet, CSV or JSON lines, written to a local path."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bulk.formats.jsonl import JSON

# A row group that has more bytes in memory is written.
GROUP_BYTES = 64 << 20


class ParquetWriter:
    """One row group a part, unless its rows are very long. The footer has the schema's metadata."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pq.ParquetWriter(path, schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._file.write_table(pa.Table.from_batches(self._held))
        self._held, self._bytes = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._file.close()


class _TextWriter:
    """Writes rows as dictionaries of plain values."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._json = [field.name for field in schema if field.metadata == JSON]
        self._begin(schema)

    def _begin(self, schema: pa.Schema) -> None: ...

    def _row(self, row: dict[str, Any]) -> None: ...

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        for row in _rows(batch):
            for name in self._json:
                row[name] = row[name] if row[name] is None else json.loads(row[name])
            self._row(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class JsonLinesWriter(_TextWriter):
    """An object a line."""

    def _row(self, row: dict[str, Any]) -> None:
        self._file.write(_json(row) + "\n")


class CsvWriter(_TextWriter):
    """With a header; lists are JSON, null is an empty field."""

    def _begin(self, schema: pa.Schema) -> None:
        self._table = csv.writer(self._file, lineterminator="\n")
        self._table.writerow(schema.names)

    def _row(self, row: dict[str, Any]) -> None:
        self._table.writerow(
            _json(value) if isinstance(value, list | dict) else value for value in row.values()
        )


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


Writer = ParquetWriter | JsonLinesWriter | CsvWriter
WRITERS: dict[str, Callable[[Path, pa.Schema], Writer]] = {
    "parquet": ParquetWriter,
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
}


def valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, with U+FFFD for what is not UTF-8 in strings: readers of the output would fail on it."""
    columns = [_valid(column) for column in batch.columns]
    return pa.record_batch(columns, schema=batch.schema)


def _valid(column: pa.Array) -> pa.Array:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = column.cast(pa.large_binary()).to_pylist()
        texts = [None if value is None else value.decode("utf-8", "replace") for value in values]
        return pa.array(texts, column.type)
    return column
