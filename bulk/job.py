"""What a run is asked for, what it has found, and what it remembers: OUTPUT/_bulk/manifest.json.

A unit is done when its part is there. Its report, in OUTPUT/_bulk/, says how many of its rows have an error.
The report is written before the part.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from bulk.errors import BadFile, BulkError
from bulk.formats.reading import plan
from bulk.places import Place, Source, find_inputs, new_file
from bulk.plan import Planned, Task, Unit
from bulk.scores import Answer

STATE = "_bulk"
MANIFEST = f"{STATE}/manifest.json"
SUCCESS = "_SUCCESS"


@dataclass(frozen=True)
class Job:
    """Everything that a worker has to know. identity: of the model; kept in parquet parts."""

    output: Place
    column: str
    form: str
    unit_rows: int
    answer: Answer
    identity: Mapping[str, str]

    def options(self) -> dict[str, Any]:
        """What decides the output beside inputs and model."""
        return {"text_column": self.column, "format": self.form, "unit_rows": self.unit_rows}

    def part(self, source: Source, unit: Unit) -> str:
        """Where a unit's rows go, in the output."""
        return f"{source.name}-{unit.number:05d}.{self.form}"

    def report(self, source: Source, unit: Unit) -> str:
        """Where a unit's report goes."""
        return f"{STATE}/{self.part(source, unit)}.json"


@dataclass(frozen=True)
class Input:
    """A file of the manifest: planned, or with the reason why it can't be."""

    source: Source
    planned: Planned | None
    error: str = ""


@dataclass(frozen=True)
class Report:
    """What became of a unit. failed: why its rows could not be read; there is no part then."""

    name: str
    number: int
    rows: int = 0
    tokens: int = 0
    errors: int = 0
    failed: str = ""


def resume(job: Job, urls: Sequence[str], restart: bool, look: Callable[[Source], None]) -> list[Input]:
    """The inputs of a run that begins or goes on; `look` is called with every file that is looked through.

    Raises BulkError where the output is of another run, or an input has changed.
    """
    sources = find_inputs(urls)
    for source in sources:
        if _is_inside(job.output, source):
            raise BulkError(f"the output lies among the inputs ({source.url}): choose a folder beside them")
    known = job.output.read(MANIFEST)
    if known is not None and restart:
        _remove(job.output, json.loads(known))
        known = None
    if known is None:
        _check_empty(job.output)
        inputs = [_look(job, source, look) for source in sources]
        _write_manifest(job, inputs)
        return inputs
    manifest = json.loads(known)
    _check_same(job, manifest)
    before = {each["source"]["name"]: each for each in manifest["inputs"]}
    _check_names(set(before), {source.name for source in sources})
    inputs = [_again(job, source, before[source.name], look) for source in sources]
    if [_as_json(each) for each in inputs] != manifest["inputs"]:
        _write_manifest(job, inputs)
    return inputs


def _is_inside(output: Place, source: Source) -> bool:
    place = Place(source.url)
    return place.path.startswith(f"{output.path}/") and type(place.fs) is type(output.fs)


def _look(job: Job, source: Source, look: Callable[[Source], None]) -> Input:
    look(source)
    try:
        return Input(source, plan(source, job.column, job.unit_rows))
    except BadFile as error:
        return Input(source, None, str(error))


def _again(job: Job, source: Source, before: Mapping[str, Any], look: Callable[[Source], None]) -> Input:
    """A file that could not be read is looked at again. Any other must not have changed."""
    if before["planned"] is None:
        return _look(job, source, look)
    planned = _planned(before["planned"])
    if (source.size, source.stamp) == (before["source"]["size"], before["source"]["stamp"]):
        return Input(source, planned)
    fresh = _look(job, source, look)
    by_content = source.form != "parquet"  # of parquet, only the footer is hashed
    if not (by_content and fresh.planned and fresh.planned.sha256 == planned.sha256):
        raise BulkError(f"{source.url} has changed since this run began: {_RESTART}")
    return Input(source, planned)


_RESTART = "put things back, choose another --output, or begin anew with --restart"


def _check_same(job: Job, manifest: Mapping[str, Any]) -> None:
    for what, now in (("model", dict(job.identity)), ("options", job.options())):
        then = manifest[what]
        for key in [*then, *now]:
            if then.get(key) != now.get(key):
                raise BulkError(
                    f"{job.output.url} was begun with {key} {then.get(key)!r}, not {now.get(key)!r}: "
                    + _RESTART
                )


def _check_names(before: set[str], now: set[str]) -> None:
    for what, names in (("is missing", before - now), ("is new", now - before)):
        if names:
            raise BulkError(f"the inputs have changed since this run began: {min(names)} {what}; {_RESTART}")


def _check_empty(output: Place) -> None:
    foreign = [name for name in output.files() if not name.startswith(f"{STATE}/")]
    if foreign:
        raise BulkError(
            f"{output.url} holds files of something else ({min(foreign)}): choose another --output"
        )


def _remove(output: Place, manifest: Mapping[str, Any]) -> None:
    """The manifest goes last, so that a removal that was stopped can be repeated."""
    names = tuple(f"{each['source']['name']}-" for each in manifest["inputs"])
    ours = [name for name in output.files() if name.startswith((f"{STATE}/", *names)) or name == SUCCESS]
    for name in sorted(ours, key=lambda name: name == MANIFEST):
        output.fs.rm_file(output.inner(name))


def _write_manifest(job: Job, inputs: Iterable[Input]) -> None:
    content = {
        "model": dict(job.identity),
        "options": job.options(),
        "inputs": [_as_json(each) for each in inputs],
    }
    write_json(job.output, MANIFEST, content)


def write_json(place: Place, relative: str, content: Any) -> None:
    """A JSON file that is there whole, or not."""
    with new_file(place, relative) as path:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _as_json(each: Input) -> dict[str, Any]:
    planned = each.planned and {
        "schema": base64.b64encode(each.planned.schema.serialize()).decode(),
        "sha256": each.planned.sha256,
        "units": [[unit.rows, unit.start, unit.stop, unit.group] for unit in each.planned.units],
    }
    return {"source": asdict(each.source), "planned": planned, "error": each.error}


def _planned(kept: Mapping[str, Any]) -> Planned:
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept["schema"])))
    units = tuple(Unit(number, *values) for number, values in enumerate(kept["units"]))
    return Planned(schema, units, kept["sha256"])


@dataclass(frozen=True)
class Todo:
    """What is left to do, and the reports of what is done."""

    tasks: tuple[Task, ...]
    done: tuple[Report, ...]

    @property
    def rows(self) -> int:
        """Rows that are left."""
        return sum(unit.rows for task in self.tasks for unit in task.units)


def finished(job: Job, source: Source, unit: Unit) -> Report | None:
    """The report of a unit that is done, as the store has it now."""
    if not job.output.fs.exists(job.output.inner(job.part(source, unit))):
        return None
    return _report(job, source, unit)


def _report(job: Job, source: Source, unit: Unit) -> Report | None:
    kept = job.output.read(job.report(source, unit))
    return None if kept is None else Report(**json.loads(kept))


def what_is_left(job: Job, inputs: Iterable[Input]) -> Todo:
    """One listing tells which parts are there; then their reports are read."""
    there = job.output.files()
    tasks, done = [], []
    for each in inputs:
        if each.planned is None:
            continue
        left = []
        for unit in each.planned.units:
            report = _report(job, each.source, unit) if job.part(each.source, unit) in there else None
            if report is None:
                left.append(unit)
            else:
                done.append(report)
        if left:
            tasks.append(Task(each.source, each.planned.schema, tuple(left)))
    return Todo(tuple(tasks), tuple(done))
