"""JSON lines: an object a line. A line that is none becomes a row with an error.

A table needs one type a column, so the columns and their types come from all objects of the file: whole
numbers, numbers, true or false, strings. Nested or mixed values are kept as JSON text.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from bulk.errors import BadFile
from bulk.formats.chunks import Cutter, chunks
from bulk.formats.lines import LONGEST, Lines, open_lines
from bulk.places import Source
from bulk.plan import Planned, Rows, Task, UnitRows, no_column
from bulk.texts import BadText

JSON = {b"json": b"1"}  # metadata of a column that holds JSON texts
TYPES = {
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"str"}): pa.string(),
    frozenset(): pa.string(),
}
Object = dict[str, Any] | BadText


def plan(source: Source, column: str, unit_rows: int) -> Planned:
    """Raises BadFile."""
    kinds: dict[str, set[str]] = {}
    digest, cutter = hashlib.sha256(), Cutter(unit_rows)
    with open_lines(source) as file:
        lines = file.from_(0)
        for line in lines:
            digest.update(line or b"")
            if line is None or line.strip():
                cutter.row(lines.at)
                _note(_parse(line), kinds)
    if kinds and column not in kinds:
        raise no_column(list(kinds), column)
    if not kinds and cutter.done():
        raise BadFile("holds no JSON object at all")
    return Planned(_schema(kinds, column), cutter.done(), digest.hexdigest())


def _note(row: Object, kinds: dict[str, set[str]]) -> None:
    if isinstance(row, dict):
        for key, value in row.items():
            known = kinds.setdefault(key, set())
            if value is not None:
                known.add(_kind(value))


def _kind(value: Any) -> str:
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "other"
    return type(value).__name__


def _schema(kinds: dict[str, set[str]], column: str) -> pa.Schema:
    fields = []
    for name, known in kinds.items():
        kind = pa.string() if name == column else TYPES.get(frozenset(known))
        fields.append(pa.field(name, kind or pa.string(), metadata=None if kind else JSON))
    return pa.schema(fields)


def read(task: Task, column: str) -> UnitRows:
    """Raises BadFile."""
    with open_lines(task.source) as file:
        for unit in task.units:
            rows = _rows(file.from_(unit.start), unit.stop)
            for chunk in chunks(rows, lambda row: _text(row, column)):
                yield unit, Rows(_table(chunk, task.schema), [_text(row, column) for row in chunk])


def _rows(lines: Lines, stop: int) -> Iterator[Object]:
    while lines.at < stop and (line := next(lines, b"")) != b"":
        if line is None or line.strip():
            yield _parse(line)


def _parse(line: bytes | None) -> Object:
    if line is None:
        return BadText(f"the line is longer than {LONGEST >> 20} MiB")
    try:
        value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError as error:
        return BadText(f"the line is not valid UTF-8 at byte {error.start}")
    except ValueError as error:
        return BadText(f"the line is not JSON: {str(error).partition(':')[0]}")
    except RecursionError:
        return BadText("the line is nested too deeply")
    return value if isinstance(value, dict) else BadText("the line is no JSON object")


def _text(row: Object, column: str) -> object:
    return row if isinstance(row, BadText) else row.get(column)


def _table(rows: Sequence[Object], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([_column(rows, field) for field in schema], schema=schema)


def _column(rows: Sequence[Object], field: pa.Field) -> pa.Array:
    values = [None if isinstance(row, BadText) else row.get(field.name) for row in rows]
    if pa.types.is_string(field.type):
        values = [_string(value, field.metadata == JSON) for value in values]
    return pa.array(values, field.type)


def _string(value: Any, as_json: bool) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) and not as_json else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
