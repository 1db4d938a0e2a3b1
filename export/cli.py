"""The command line: `python -m export [publish | check | info | rollback] --help`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from export import commands
from export.errors import ExportError
from export.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_REPOSITORY,
    CheckpointOption,
    PrecisionOption,
    RepositoryOption,
    ServerOption,
)

if TYPE_CHECKING:
    from export.pipeline import Exported

app = typer.Typer(
    help="Export MobileBERT checkpoints to a Triton model repository.",
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
console = Console()

for _command in (commands.check, commands.info, commands.rollback):
    app.command()(_command)


@app.callback()
def _group() -> None:
    """Export MobileBERT checkpoints to a Triton model repository. Without a command: publish."""


@app.command("publish")
def publish_command(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    precision: PrecisionOption = None,
    if_stale: Annotated[bool, typer.Option("--if-stale", help="Do nothing when it is up to date.")] = False,
    server: ServerOption = None,
) -> None:
    """Export a checkpoint, check it, and publish it as a new version."""
    from export.precisions import choose_precisions, model_name

    precisions = choose_precisions(precision)
    if if_stale and _is_current(checkpoint, repository, [model_name(each) for each in precisions]):
        console.print(f"{repository} is up to date with {checkpoint}")
        return
    from export.pipeline import export_checkpoint

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)
        version, results = export_checkpoint(
            checkpoint, repository, precisions, lambda step: progress.update(task, description=step), server
        )
    _print_summary(version, repository, results)


def main() -> None:
    """Run the command line; an expected failure is one line on standard error and exit status 1."""
    known = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    known.add("--help")
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in known:
        arguments.insert(0, "publish")
    try:
        app(args=arguments, prog_name="python -m export")
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _is_current(checkpoint: Path, repository: Path, models: list[str]) -> bool:
    from export.publish import TOKENIZER
    from export.staleness import fingerprint, is_current

    return is_current(repository, models, fingerprint(checkpoint, repository / TOKENIZER))


def _print_summary(version: int, repository: Path, results: list["Exported"]) -> None:
    table = Table(title=f"version {version} in {repository}")
    for heading in ("model", "nodes", "size", "time", "parity with torch"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for result in results:
        size, seconds = f"{result.size_bytes / 2**20:.1f} MiB", f"{result.seconds:.1f} s"
        table.add_row(result.name, str(result.nodes), size, seconds, _parity_cell(result))
    console.print(table)
    if any(result.report is None for result in results):
        Console(stderr=True).print(
            "[yellow]warning:[/] golden.jsonl is missing, so nothing was compared with torch"
        )


def _parity_cell(result: "Exported") -> str:
    if result.report is None:
        return "not checked"
    figures = result.report.figures
    return f"{figures.max_logit_difference:.1e} on {figures.texts} texts"
