"""The results of a task as a file: beside the rows of the CSV that was sent, or as they are."""

import csv
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from .tasks import TaskResult

COLUMNS = ("label", "score", "labels", "num_tokens", "truncated", "num_windows", "error")
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def write_scored(output: Path, results: Iterable[TaskResult], source: Path | None) -> int:
    """Writes the results, and takes the name `output` when they are complete; returns how many there are.

    .csv and .tsv: the columns of `source` where that is such a table, else the index, and then the answer's;
    several labels of a text have `|` between them.
    Any other name: JSON lines with everything. Raises ValueError where `source` has fewer rows than results.
    """
    with _beside(output) as file:
        if output.suffix.lower() in DELIMITERS:
            return _write_table(file, DELIMITERS[output.suffix.lower()], results, source)
        count = 0
        for result in results:
            count += 1
            found = {name: value for name, value in asdict(result).items() if value is not None}
            file.write(json.dumps(found, ensure_ascii=False) + "\n")
        return count


def _write_table(file: IO[str], delimiter: str, results: Iterable[TaskResult], source: Path | None) -> int:
    table = csv.writer(file, delimiter=delimiter)
    rows = iter(_rows(source) if source is not None and source.suffix.lower() in DELIMITERS else _numbers())
    taken = next(rows)
    names = [f"{name}_answer" if name in taken else name for name in COLUMNS]
    table.writerow([*taken, *names])
    count = 0
    for result in results:
        count += 1
        row = next(rows, None)
        if row is None:
            raise ValueError(f"{source} has fewer rows than were sent; it changed meanwhile")
        row = [*row, *[""] * (len(taken) - len(row))]
        table.writerow([*row, *(_cell(getattr(result, name)) for name in COLUMNS)])
    return count


def _rows(source: Path) -> Iterator[list[str]]:
    csv.field_size_limit(1 << 24)
    with source.open(encoding="utf-8-sig", newline="") as file:
        yield from (row for row in csv.reader(file, delimiter=DELIMITERS[source.suffix.lower()]) if row)


def _numbers() -> Iterator[list[str]]:
    yield ["index"]
    number = 0
    while True:
        yield [str(number)]
        number += 1


def _cell(value: object) -> object:
    if isinstance(value, list):
        return "|".join(value)
    return "" if value is None else value


@contextmanager
def _beside(output: Path) -> Iterator[IO[str]]:
    beside = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(output)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
