"""JSON lines, a JSON array of objects, and the two shapes that pandas writes; each row by its number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from training.tables.table import DataError, Table


class _RepeatedKeyError(ValueError):
    pass


def read_records(text: str, source: str, wanted: Sequence[str]) -> Table:
    """The objects in `text` as rows; a key that a row lacks is None there. Raises `DataError`."""
    notes: list[str] = []
    if text.lstrip().startswith("["):
        records = _whole(text, source)
    else:
        records = _single(text, source, wanted, notes) or _lines(text, source)
    for row, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{source}, row {row}: not a JSON object with a text and a label.")
    names = list(dict.fromkeys(key for record in records for key in record))
    return Table(source, names, [[record.get(name) for record in records] for name in names], notes)


def _lines(text: str, source: str) -> list[Any]:
    numbered = [(row, line) for row, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [_parse(line, f"{source}, row {row}") for row, line in numbered]


def _whole(text: str, source: str) -> Any:
    return _parse(text, source)


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _RepeatedKeyError as error:
        raise DataError(f"{place}: the key {error} occurs twice in one object; keep one.") from error
    except json.JSONDecodeError as error:
        at = f" in line {error.lineno}" if error.lineno > 1 else ""
        raise DataError(f"{place}: not JSON ({error.msg}{at}).") from error
    except RecursionError as error:
        raise DataError(f"{place}: nested too deeply.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(next(repr(key) for key in keys if keys.count(key) > 1))
    return content


def _single(text: str, source: str, wanted: Sequence[str], notes: list[str]) -> list[Any] | None:
    """Rows of a file that is one object: columns by name, or a list of rows under one key; else None."""
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None  # several lines, each with its own row number
    if not isinstance(content, dict):
        return None
    columns = [content[name] for name in wanted if isinstance(content.get(name), (dict, list))]
    if len(columns) == len(wanted):
        notes.append("the file is one object that holds columns")
        return _from_columns(content, source)
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if len(lists) == 1:
        (key, rows), *_ = lists.items()
        notes.append(f"rows were taken from {key!r}")
        return rows
    return None


def _from_columns(content: Mapping[str, Any], source: str) -> list[Any]:
    columns = {
        name: list(values.values()) if isinstance(values, dict) else values
        for name, values in content.items()
        if isinstance(values, (dict, list))
    }
    keys = {tuple(values) for values in content.values() if isinstance(values, dict)}
    if len({len(values) for values in columns.values()}) > 1 or len(keys) > 1:
        raise DataError(f"{source}: its columns hold different rows; write one object a row instead.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
