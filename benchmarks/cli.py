"""The command line of the benchmarks: a thin shell over `run`, `report` and `perf_analyzer.fetch`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.errors import console, one_line_errors
from benchmarks.paths import CACHE, RESULTS, SHIPPED_CHECKPOINT

if TYPE_CHECKING:
    from benchmarks.run.settings import Settings

app = typer.Typer(add_completion=False, help="Measure the served classifier against its rivals.")

ResultsOption = Annotated[
    Path | None,
    typer.Option("--results", help="Folder of raw.json and report; default: by machine."),
]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look in under 10 minutes, kept in .cache/.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Bulk scoring of 1,000 reviews with 24 layers, too.")
    ] = False,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Servers that people choose instead, too; builds them first.")
    ] = False,
    section: Annotated[
        list[str] | None,
        typer.Option(help="Measure only this section (repeatable), keep the rest."),
    ] = None,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder to serve.")] = SHIPPED_CHECKPOINT,
    results: ResultsOption = None,
) -> None:
    """Run every benchmark, save raw samples as they come, render the report; exit code 1 if any failed."""
    if context.invoked_subcommand:
        return
    with one_line_errors():
        from benchmarks.run.settings import DEFAULT, FULL, QUICK

        settings = QUICK if quick else FULL if full else DEFAULT
        _measure(checkpoint, replace(settings, rivals=rivals), section or [], results)


def _measure(checkpoint: Path, settings: "Settings", only: list[str], results: Path | None) -> None:
    from benchmarks.measure import machine
    from benchmarks.report.figures import Figures
    from benchmarks.report.render import limits_line, render
    from benchmarks.run.everything import check_sections, run_everything
    from benchmarks.run.sections import Sections
    from benchmarks.run.store import Store

    check_sections(only)
    _silence_libraries()
    # A first look must not replace the tracked results of a whole run.
    home = CACHE / settings.name if settings.name == "quick" else RESULTS
    store = Store(results or home / machine.slug(machine.describe()))
    sections = Sections(store.load() if only and store.path.is_file() else store, only)
    with _progress() as show:
        run_everything(checkpoint, settings, sections, show)
    console.print(f"report: {render(store)}")
    console.print(limits_line(Figures(store)), highlight=False, soft_wrap=True)
    _tell_failures(sections.failed)


def _tell_failures(failed: dict[str, dict[str, str]]) -> None:
    """Who failed and why, and exit code 1; nothing where nobody did."""
    for section, reasons in failed.items():
        for who, why in reasons.items():
            console.print(f"[red]failed:[/] {section}: {who}: {why}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, a line a step elsewhere."""
    if not console.is_terminal:
        yield console.log
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda step: progress.update(task, description=step)


@app.command("report")
def report(results: ResultsOption = None) -> None:
    """Render the report and the plots again from raw.json."""
    with one_line_errors():
        from benchmarks.measure import machine
        from benchmarks.report.render import render
        from benchmarks.run.store import Store

        console.print(
            f"report: {render(Store(results or RESULTS / machine.slug(machine.describe())).load())}"
        )


@app.command("compare-runs")
def compare_runs(
    first: Annotated[Path, typer.Argument(help="Folder of the first run's raw.json.")],
    second: Annotated[Path, typer.Argument(help="Folder of the second run's.")],
) -> None:
    """Print the figures of two whole runs side by side, as Markdown; what swings by over 15% is marked."""
    with one_line_errors():
        from benchmarks.report.figures import Figures
        from benchmarks.report.two_runs import two_runs
        from benchmarks.run.store import Store

        typer.echo(two_runs(*(Figures(Store(each).load()) for each in (first, second))), nl=False)


@app.command("fetch-perf-analyzer")
def fetch_perf_analyzer() -> None:
    """Download the real perf_analyzer into .cache/, unless it is there."""
    with one_line_errors():
        from benchmarks.perf_analyzer.fetch import fetch

        console.print(f"perf_analyzer: {fetch()}")


def _silence_libraries() -> None:
    """Switches off transformers' progress bars and advice, which would break ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
