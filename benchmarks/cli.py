"""The command line of the benchmarks: a thin shell over `run`, `report` and `perf_analyzer.fetch`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.errors import BenchmarkError
from benchmarks.paths import RESULTS, SHIPPED_CHECKPOINT

app = typer.Typer(add_completion=False, help="Measure the served classifier against its rivals.")
console = Console(stderr=True)

ResultsOption = Annotated[
    Path | None,
    typer.Option("--results", help="Folder of raw.json and report; default: by machine."),
]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from serving.errors import ServingError

    try:
        yield
    except (BenchmarkError, ServingError) as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("interrupted: finished sections are saved; `python -m benchmarks report` renders them")
        raise typer.Exit(130) from None


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="About 3 minutes: a first look.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Bulk scoring up to 25,000 reviews.")] = False,
    section: Annotated[
        list[str] | None,
        typer.Option(help="Measure only this section (repeatable), keep the rest."),
    ] = None,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder to serve.")] = SHIPPED_CHECKPOINT,
    results: ResultsOption = None,
) -> None:
    """Run every benchmark, save raw samples as they come, render the report."""
    if context.invoked_subcommand:
        return
    with _one_line_errors():
        from benchmarks import machine
        from benchmarks.report.render import render
        from benchmarks.run import run_everything
        from benchmarks.sections import Sections
        from benchmarks.settings import DEFAULT, FULL, QUICK
        from benchmarks.store import Store

        _silence_libraries()
        store = Store(results or RESULTS / machine.slug(machine.describe()))
        sections = Sections(store.load() if section else store, section or ())
        settings = QUICK if quick else FULL if full else DEFAULT
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("starting", total=None)
            show = console.log if not console.is_terminal else None
            run_everything(
                checkpoint,
                settings,
                sections,
                lambda step: show(step) if show else progress.update(task, description=step),
            )
        console.print(f"report: {render(store)}")


@app.command("report")
def report(results: ResultsOption = None) -> None:
    """Render the report and the plots again from raw.json."""
    with _one_line_errors():
        from benchmarks import machine
        from benchmarks.report.render import render
        from benchmarks.store import Store

        console.print(
            f"report: {render(Store(results or RESULTS / machine.slug(machine.describe())).load())}"
        )


@app.command("fetch-perf-analyzer")
def fetch_perf_analyzer() -> None:
    """Download the real perf_analyzer into .cache/, unless it is there."""
    with _one_line_errors():
        from benchmarks.perf_analyzer.fetch import fetch

        console.print(f"perf_analyzer: {fetch()}")


def _silence_libraries() -> None:
    """Progress bars and advice of transformers would tear ours apart."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
