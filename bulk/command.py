"""What `python -m bulk score` does, step by step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout
from rich.markup import escape

from bulk.engines.local import LocalEngine
from bulk.errors import BulkError
from bulk.formats.writers import WRITERS
from bulk.job import STATE, SUCCESS, Input, Job, Report, Todo, resume, what_is_left, write_json
from bulk.model import find_model
from bulk.places import Place, open_place
from bulk.progress import console, shown
from bulk.run import Score, cannot_write, score_tasks
from bulk.scores import Answer
from clients.endpoint import Protocol
from serving.onnxruntime_backend.cores import usable_cores

FORMS = tuple(WRITERS)
DONE, ROWS_WITH_ERRORS, BAD_FILES = 0, 3, 4
NAMED = 10


class Engine(StrEnum):
    """Who scores."""

    local = "local"
    ray = "ray"
    triton = "triton"


@dataclass(frozen=True)
class Options:
    """The command line."""

    inputs: Sequence[str]
    output: str
    text_column: str
    model: str
    engine: Engine
    form: str
    restart: bool
    workers: int
    unit_rows: int
    repository: Path
    url: str | None
    protocol: Protocol
    in_flight: int
    ray_address: str | None


def run(options: Options) -> int:
    """Scores what is left to score; returns the exit code. Raises BulkError."""
    if options.form not in FORMS:
        raise BulkError(f"--format is {options.form!r}; it can be {', '.join(FORMS)}")
    if options.engine is Engine.triton:
        return _through_server(options)
    model = find_model(options.repository, options.model)
    job = _job(options, model.answer, model.identity())
    with held(job.output):
        inputs, todo = _begin(job, options)
        reports = list(todo.done)
        if todo.tasks and options.engine is Engine.ray:
            from bulk.engines.ray import score_on_ray  # Ray is needed for nothing else

            with shown(todo.rows) as meter:
                reports += score_on_ray(
                    job, model, todo.tasks, options.ray_address, options.workers, meter.add
                )
        elif todo.tasks:
            with LocalEngine(model, options.workers or usable_cores()) as engine:
                reports += _score(job, todo, engine)
        return _end(job, inputs, reports)


def _through_server(options: Options) -> int:
    from bulk.engines.triton import TritonEngine

    with TritonEngine(options.url, options.protocol, options.model, options.in_flight) as engine:
        job = _job(options, engine.answer, engine.identity)
        with held(job.output):
            inputs, todo = _begin(job, options)
            return _end(job, inputs, [*todo.done, *_score(job, todo, engine)])


def _job(options: Options, answer: Answer, identity: dict[str, str]) -> Job:
    return Job(
        open_place(options.output), options.text_column, options.form, options.unit_rows, answer, identity
    )


def _begin(job: Job, options: Options) -> tuple[list[Input], Todo]:
    """Raises BulkError where there is nothing to score."""
    with console.status("looking through the inputs") as status:
        try:
            inputs = resume(
                job, options.inputs, options.restart, lambda each: status.update(f"reading {each.name}")
            )
        except OSError as error:
            raise cannot_write(job, error) from error
    bad = [each for each in inputs if each.planned is None]
    for each in bad[:NAMED]:
        console.print(f"[yellow]bad file:[/] {escape(each.source.url)} {escape(each.error)}", soft_wrap=True)
    if len(bad) == len(inputs):
        raise BulkError(f"none of the {len(bad)} files can be read" if len(bad) > 1 else _said(bad[0]))
    if not any(each.planned and each.planned.rows for each in inputs):
        raise BulkError(f"{', '.join(options.inputs)}: there are no rows")
    todo = what_is_left(job, inputs)
    if todo.done:
        console.print(f"{sum(report.rows for report in todo.done):,} rows are done already")
    return inputs, todo


def _said(bad: Input) -> str:
    return f"{bad.source.url} {bad.error}"


def _score(job: Job, todo: Todo, score: Score) -> list[Report]:
    with shown(todo.rows) as meter:
        return list(score_tasks(job, todo.tasks, score, lambda each: meter.add(len(each), each.tokens)))


def _end(job: Job, inputs: Sequence[Input], reports: Sequence[Report]) -> int:
    urls = {each.source.name: each.source.url for each in inputs}
    failed = {report.name: report.failed for report in reports if report.failed}
    for name, reason in list(failed.items())[:NAMED]:
        console.print(f"[yellow]bad file:[/] {escape(urls[name])} {escape(reason)}", soft_wrap=True)
    rows, errors = sum(each.rows for each in reports), sum(each.errors for each in reports)
    bad = len(failed) + sum(each.planned is None for each in inputs)
    console.print(f"{rows:,} rows in {job.output.url}; {errors:,} have an error; {bad} files are bad")
    if bad:
        return BAD_FILES
    try:
        write_json(job.output, SUCCESS, {"rows": rows, "errors": errors, **job.identity})
    except OSError as error:
        raise cannot_write(job, error) from error
    return ROWS_WITH_ERRORS if errors else DONE


@contextmanager
def held(output: Place) -> Iterator[None]:
    """One run at a time writes to a local folder. Raises BulkError."""
    if not output.is_local:
        yield
        return
    folder = Path(output.path) / STATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock").acquire(blocking=False)
    except Timeout:
        raise BulkError(f"another run writes to {output.url}: wait for it, or stop it") from None
    except OSError as error:
        raise BulkError(f"{output.url} can't be written: {error.strerror}") from None
    with lock:
        _sweep(Path(output.path))
        try:
            yield
        finally:  # removes what a worker or node left that died in this run
            with suppress(OSError):
                _sweep(Path(output.path))


def _sweep(output: Path) -> None:
    """Removes what a killed run, worker or node left beside its parts."""
    for path in output.rglob(".*-*"):
        if path.is_file() and path.name.lstrip(".").partition("-")[0].isdecimal():
            path.unlink(missing_ok=True)
