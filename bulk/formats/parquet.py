"""Parquet: a unit is a row group, or a part of a large one."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from bulk.errors import BadFile
from bulk.places import READ_BYTES, Source, opened
from bulk.plan import CHUNK_BYTES, Planned, Rows, Task, Unit, UnitRows, no_column
from bulk.texts import size_of

BATCH_ROWS = 256


def plan(source: Source, column: str, unit_rows: int) -> Planned:
    """Raises BadFile."""
    with _file(source) as file:
        schema = file.schema_arrow
        if column not in schema.names:
            raise no_column(schema.names, column)
        if not _holds_texts(schema.field(column).type):
            raise BadFile(f"has {schema.field(column).type} in column {column!r}, not texts")
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        footer = f"{file.metadata.to_dict()}"
    parts = [
        (group, start, min(start + unit_rows, rows))
        for group, rows in enumerate(groups)
        for start in range(0, rows, unit_rows)
    ]
    units = [Unit(n, stop - start, start, stop, group) for n, (group, start, stop) in enumerate(parts)]
    return Planned(schema, tuple(units), hashlib.sha256(footer.encode()).hexdigest())


def read(task: Task, column: str) -> UnitRows:
    """Raises BadFile."""
    with _file(task.source) as file:
        for group in dict.fromkeys(unit.group for unit in task.units):
            yield from _group(file, group, [unit for unit in task.units if unit.group == group], column)


def _group(file: pq.ParquetFile, group: int, units: Sequence[Unit], column: str) -> UnitRows:
    at = 0
    wanted = iter(units)
    unit = next(wanted)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
        first, at = at, at + batch.num_rows
        while at > unit.start:
            part = batch.slice(max(0, unit.start - first), min(at, unit.stop) - max(first, unit.start))
            for rows in _chunks(part, column):
                yield unit, rows
            if at < unit.stop:
                break
            following = next(wanted, None)
            if following is None:
                return
            unit = following


def _chunks(batch: pa.RecordBatch, column: str) -> Iterator[Rows]:
    texts = _texts(batch.column(batch.schema.get_field_index(column)))
    start = size = 0
    for at, text in enumerate(texts):
        if at > start and size + size_of(text) > CHUNK_BYTES:
            yield Rows(batch.slice(start, at - start), texts[start:at])
            start, size = at, 0
        size += size_of(text)
    if texts:
        yield Rows(batch.slice(start), texts[start:])


def _texts(column: pa.Array) -> list[object]:
    """As bytes: nothing checks that a file's strings are UTF-8. One that is not must only fail its row."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.binary_view())
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return column.to_pylist()


def _holds_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary))


@contextmanager
def _file(source: Source) -> Iterator[pq.ParquetFile]:
    """Read piece by piece: without `buffer_size`, Arrow reads the columns of a row group whole."""
    with opened(source) as stream:
        try:
            with pq.ParquetFile(stream, buffer_size=READ_BYTES, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise BadFile(f"can't be read as parquet: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")[:200]
