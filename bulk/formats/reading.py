"""Plans and reads a file of any format."""

from bulk.formats import csv, jsonl, parquet
from bulk.places import Source
from bulk.plan import Planned, Task, UnitRows

_MODULES = {"parquet": parquet, "csv": csv, "tsv": csv, "jsonl": jsonl}


def plan(source: Source, column: str, unit_rows: int) -> Planned:
    """Looks through a file, once. Raises BadFile."""
    return _MODULES[source.form].plan(source, column, unit_rows)


def read(task: Task, column: str) -> UnitRows:
    """The rows of a task's units, in order. Raises BadFile."""
    return _MODULES[task.source.form].read(task, column)
