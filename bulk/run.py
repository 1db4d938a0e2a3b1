"""Turns tasks into parts: reads rows, has an engine score them in order, writes them. A part appears whole.

An engine asks for rows before it has scored earlier ones, so several units and files may be under way.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace

import pyarrow as pa

from bulk.errors import BadFile, BulkError
from bulk.formats.reading import read
from bulk.formats.writers import WRITERS, Writer, valid
from bulk.job import Job, Report, write_json
from bulk.places import Source, new_file
from bulk.plan import Rows, Task, Unit
from bulk.scores import Scores, answered_schema

# From lists of texts (or what stands in their places) to their scores, in order.
Score = Callable[[Iterator[Sequence[object]]], Iterator[Scores]]
Watch = Callable[[Scores], None]


class Part:
    """A unit's part while it is written. `commit` makes it appear."""

    def __init__(self, job: Job, source: Source, unit: Unit, columns: pa.Schema) -> None:
        self.report = Report(source.name, unit.number)
        self._job, self._source, self._unit = job, source, unit
        self._schema = answered_schema(columns, job.answer, job.identity)
        self._stack = ExitStack()
        path = self._stack.enter_context(new_file(job.output, job.part(source, unit)))
        self._writer: Writer = WRITERS[job.form](path, self._schema)
        self._stack.enter_context(self._writer)

    def write(self, rows: Rows, scores: Scores) -> None:
        """Adds rows in their order."""
        columns = [*rows.columns.columns, *self._job.answer.columns(scores)]
        self._writer.write(valid(pa.record_batch(columns, schema=self._schema)))
        so_far = self.report
        self.report = replace(
            so_far,
            rows=so_far.rows + len(scores),
            tokens=so_far.tokens + scores.tokens,
            errors=so_far.errors + scores.errors,
        )

    def commit(self) -> Report:
        """Raises BadFile where rows are missing."""
        if self.report.rows != self._unit.rows:
            raise BadFile(f"has {self.report.rows} rows where it had {self._unit.rows}: it changed meanwhile")
        write_json(self._job.output, self._job.report(self._source, self._unit), asdict(self.report))
        self._stack.close()
        return self.report

    def abandon(self) -> None:
        """Deletes what was written of it."""
        with suppress(_Abandoned), self._stack:
            raise _Abandoned


class _Abandoned(Exception):
    """Ends the writing of a part, so that it does not appear."""


def score_tasks(job: Job, tasks: Iterable[Task], score: Score, watch: Watch) -> Iterator[Report]:
    """Scores and writes; gives a report a unit. A file that turns out bad is not read further.

    Raises BulkError where the output can't be written.
    """
    steps: deque[_Step] = deque()
    scored = score(_texts(job, tasks, steps))
    writing = _Writing(job)
    try:
        for scores in scored:
            yield from writing.through(steps, scores)
            watch(scores)
        yield from writing.through(steps, None)
    except OSError as error:
        raise cannot_write(job, error) from error
    finally:
        writing.abandon()


def cannot_write(job: Job, error: OSError) -> BulkError:
    """What the operating system says, and what to do."""
    return BulkError(
        f"{job.output.url} can't be written: {error.strerror or error}; what is done is kept, run the same "
        "command again when that is mended"
    )


class _Step:
    """Of a unit: rows to write, its end (no rows), or its failure."""

    def __init__(self, task: Task, unit: Unit, rows: Rows | None = None, failed: str = "") -> None:
        self.task, self.unit, self.rows, self.failed = task, unit, rows, failed


def _texts(job: Job, tasks: Iterable[Task], steps: "deque[_Step]") -> Iterator[Sequence[object]]:
    """What is to be scored; `steps` remembers where the scores go."""
    for task in tasks:
        unit = task.units[0]
        try:
            for following, rows in read(task, job.column):
                if following is not unit:
                    steps.append(_Step(task, unit))
                    unit = following
                steps.append(_Step(task, unit, rows))
                yield rows.texts
            steps.append(_Step(task, unit))
        except BadFile as error:
            steps.append(_Step(task, unit, failed=str(error)))


class _Writing:
    """The part that is open."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._part: Part | None = None

    def through(self, steps: "deque[_Step]", scores: Scores | None) -> Iterator[Report]:
        """Takes steps up to the rows of these scores, and all that follow without rows."""
        while steps and (steps[0].rows is None or scores is not None):
            step = steps.popleft()
            if step.rows is not None and scores is not None:
                self._open(step).write(step.rows, scores)
                scores = None
            elif step.failed:
                yield self._failed(step, step.failed)
            else:
                yield self._end(step)

    def _open(self, step: _Step) -> Part:
        if self._part is None:
            self._part = Part(self._job, step.task.source, step.unit, step.task.schema)
        return self._part

    def _end(self, step: _Step) -> Report:
        try:
            report = self._open(step).commit()
        except BadFile as error:
            return self._failed(step, str(error))
        self._part = None
        return report

    def _failed(self, step: _Step, reason: str) -> Report:
        self.abandon()
        return Report(step.task.source.name, step.unit.number, failed=reason)

    def abandon(self) -> None:
        """Deletes the open part."""
        part, self._part = self._part, None
        if part is not None:
            part.abandon()
