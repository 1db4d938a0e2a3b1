"""Results as they are sent: JSON lines or CSV, whole, from a text on, or a range of bytes."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clients.scored import COLUMNS
from gateway.problem import Problem
from gateway.tasks.task import Task

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
CSV_COLUMNS = ("index", *COLUMNS)
LINES_AT_ONCE = 512


@dataclass(frozen=True)
class ByteRange:
    """Bytes first to last, both included, of `size`; the size of a task that is not done may still grow."""

    first: int
    last: int
    size: int
    final: bool

    @property
    def header(self) -> str:
        """Content-Range."""
        return f"bytes {self.first}-{self.last}/{self.size if self.final else '*'}"


def parse_range(header: str, task: Task) -> ByteRange | None:
    """The range of a Range header; None for one to be ignored (RFC 9110). Raises Problem 416."""
    match = RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    size = sum(task.result_sizes())
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last:
        detail = f"There are {size} bytes of results{'' if task.assembled.exists() else ' so far'}."
        raise Problem(416, detail, headers={"Content-Range": f"bytes */{size}"})
    return ByteRange(first, last, size, task.assembled.exists())


def json_lines(task: Task, first: int, texts: bool, chunks: int) -> Iterator[bytes]:
    """The results of the first `chunks` chunks from text `first` on, many lines at a time."""
    if first == 0 and not texts:
        for chunk in range(chunks):
            yield task.result_bytes(chunk)
    else:
        for lines in _grouped(task.result_lines(first, texts, chunks)):
            yield b"".join(lines)


def byte_range(task: Task, asked: ByteRange) -> Iterator[bytes]:
    """The bytes of a range."""
    start = 0
    for chunk, size in enumerate(task.result_sizes()):
        if start > asked.last:
            return
        if start + size > asked.first:
            lines = task.result_bytes(chunk)
            yield lines[max(0, asked.first - start) : asked.last + 1 - start]
        start += size


def csv_lines(task: Task, first: int, texts: bool, chunks: int) -> Iterator[bytes]:
    """The same as CSV (RFC 4180) with a header, without the probabilities or values of JSON lines.

    `labels`: those that a multi-label model gives the text, with `|` between them.
    """
    columns = [*CSV_COLUMNS, *(["text"] if texts else [])]
    yield _table(columns, [dict(zip(columns, columns, strict=True))])
    for lines in _grouped(task.result_lines(first, texts, chunks)):
        yield _table(columns, map(_row, lines))


def _row(line: bytes) -> dict[str, Any]:
    answer = json.loads(line)
    return {**answer, "labels": "|".join(answer.get("labels") or ())}


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    buffer = io.StringIO()
    csv.DictWriter(buffer, columns, extrasaction="ignore").writerows(rows)
    return buffer.getvalue().encode()


def _grouped(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while group := list(islice(lines, LINES_AT_ONCE)):
        yield group
