"""The texts of an uploaded file, row by row, however large it is: JSON, JSON lines, CSV, TSV, lines, parquet.

A file that can't be read at all raises Problem 400 with the place. A row without a text becomes
{"error": ...} in its place; the other rows are not affected.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.problem import Problem

Row = str | dict[str, str]
FORMATS = {
    "application/json": "json",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/jsonlines": "jsonl",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/plain": "txt",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
COLUMNS = ("text", "texts", "review", "sentence", "content", "comment", "body", "message", "document")
READ_CHARACTERS = 1 << 16
LONGEST_ROW = 16 << 20
PARQUET_ROWS = 1024


def rows(path: Path, form: str, column: str | None) -> Iterator[Row]:
    """One row a text. form: of FORMATS. column: of the texts; None finds it. Raises Problem 400 or 422."""
    return READERS[form](path, column)


def _json(path: Path, column: str | None) -> Iterator[Row]:
    for number, value in enumerate(_json_items(path)):
        yield _row(value, column, f"item {number}")


def _json_items(path: Path) -> Iterator[Any]:
    """The items of a JSON list, without ever holding the list."""
    decode = json.JSONDecoder().raw_decode
    with path.open(encoding="utf-8", errors="strict") as file:
        buffer = _Buffer(file.read)
        if buffer.skip() != "[":
            raise Problem(400, 'The body must be a JSON list of texts, such as ["...", "..."].')
        buffer.at += 1
        count = 0
        while (letter := buffer.skip()) != "]":
            if count and letter != ",":
                raise Problem(400, f"The body is not JSON: a comma or ] is missing after item {count - 1}.")
            if count:
                buffer.at += 1
                buffer.skip()
            yield buffer.value(decode, count)
            count += 1
        buffer.at += 1
        if buffer.skip():
            raise Problem(400, "The body is not JSON: something follows the list.")


class _Buffer:
    """The part of a long text that is in memory, and the place in it."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self.text, self.at = "", 0
        self._read = read

    def skip(self) -> str:
        """The next letter that is no space, "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or not self._more():
                return self.text[self.at : self.at + 1]

    def value(self, decode: Callable[[str, int], tuple[Any, int]], number: int) -> Any:
        """Decodes the value that begins here."""
        while True:
            try:
                value, end = decode(self.text, self.at)
                # A number at the end of the window may go on behind it.
                if end < len(self.text) or not self._more():
                    self.at = end
                    return value
            except ValueError as error:
                if len(self.text) - self.at > LONGEST_ROW or not self._more():
                    raise Problem(400, f"The body is not JSON at item {number}: {_reason(error)}.") from None
            except RecursionError:
                raise Problem(400, f"Item {number} is nested too deeply; it must be a text.") from None

    def _more(self) -> bool:
        # Doubling keeps a long value from being decoded again and again.
        more = _decoded(lambda: self._read(max(READ_CHARACTERS, len(self.text) - self.at)))
        self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)


def _json_lines(path: Path, column: str | None) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    reason = _reason(error) if isinstance(error, ValueError) else "it is nested too deeply"
                    raise Problem(400, f"Line {number} is not JSON: {reason}.") from None
                yield _row(value, column, f"line {number}")


def _lines(path: Path, column: str | None) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield {"error": f"Line {number} is not UTF-8 at byte {error.start}."}


def _tsv(path: Path, column: str | None) -> Iterator[Row]:
    return _csv(path, column, "\t")


def _csv(path: Path, column: str | None, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(LONGEST_ROW)
    with path.open(encoding="utf-8-sig", errors="strict", newline="") as file:
        table = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = _decoded(lambda: next(table, []))
            place = header.index(find_column(header, column)) if header else 0
            for values in table:
                if values:
                    yield values[place] if place < len(values) else _no_text(f"line {table.line_num}")
        except csv.Error as error:
            raise Problem(400, f"The CSV can't be read at line {table.line_num}: {error}.") from None
        except UnicodeDecodeError as error:
            raise Problem(400, f"The CSV is not UTF-8 after line {table.line_num}: {error.reason}.") from None


def _parquet(path: Path, column: str | None) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            strings = [field.name for field in file.schema_arrow if _is_string(field.type)]
            name = find_column(file.schema_arrow.names, column, strings)
            if name not in strings:
                raise Problem(422, f"The column {name!r} holds no texts.", kind="invalid")
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=[name]):
                for number, value in enumerate(batch.column(0).to_pylist()):
                    yield value if isinstance(value, str) else _no_text(f"row {number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Problem(400, f"The parquet file can't be read: {_first_line(error)}.") from None


def find_column(names: Sequence[str], wanted: str | None, strings: Sequence[str] | None = None) -> str:
    """The column of the texts: the wanted one, one with a usual name, or the only one. Raises Problem 422."""
    if wanted is not None:
        if wanted in names:
            return wanted
        raise Problem(422, f"There is no column {wanted[:80]!r}; there are {_list(names)}.", kind="invalid")
    lower = {name.strip().lower(): name for name in reversed(names)}
    usual = [lower[name] for name in COLUMNS if name in lower]
    candidates = usual[:1] or list(names if strings is None else strings)
    if len(candidates) == 1:
        return candidates[0]
    detail = f"Which column holds the texts? There are {_list(names)}; name one with ?text_column=."
    raise Problem(422, detail, kind="invalid")


def _row(value: Any, column: str | None, place: str) -> Row:
    if isinstance(value, dict) and value:
        value = value.get(find_column(list(value), column))
    return value if isinstance(value, str) else _no_text(place)


def _no_text(place: str) -> dict[str, str]:
    return {"error": f"There is no text in {place}."}


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _decoded(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnicodeDecodeError as error:
        raise Problem(400, f"The body is not UTF-8: {error.reason}.") from None


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:20])
    return shown + (" and more" if len(names) > 20 else "")


def _reason(error: ValueError) -> str:
    return str(error).partition(":")[0]


def _first_line(error: BaseException) -> str:
    # pyarrow's messages may name the file.
    return str(error).splitlines()[0].partition(" '/")[0].rstrip(".")[:200]


READERS: dict[str, Callable[[Path, str | None], Iterator[Row]]] = {
    "json": _json,
    "jsonl": _json_lines,
    "csv": _csv,
    "tsv": _tsv,
    "txt": _lines,
    "parquet": _parquet,
}
