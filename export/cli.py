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
    AdminKeyOption,
    CheckpointOption,
    PrecisionOption,
    RepositoryOption,
    ServerOption,
)

if TYPE_CHECKING:
    from export.steps import Exported

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
    keep_other: Annotated[
        bool, typer.Option("--keep-other", help="With --if-stale: leave another checkpoint's model in place.")
    ] = False,
    server: ServerOption = None,
    admin_key: AdminKeyOption = "",
) -> None:
    """Export a checkpoint, check it, and publish it as a new version."""
    from export.precision.registry import choose_precisions, model_name

    precisions = choose_precisions(precision)
    models = [model_name(each) for each in precisions]
    if if_stale and (reason := _reason_to_leave(checkpoint, repository, models, keep_other)):
        console.print(reason, soft_wrap=True)
        return
    from export.publishing.model_control import ExplicitServer
    from export.steps import export_checkpoint

    told = ExplicitServer(server, admin_key) if server else None
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)
        version, results = export_checkpoint(
            checkpoint,
            repository,
            precisions,
            announce=lambda step: progress.update(task, description=step),
            server=told,
            remark=lambda note: progress.console.print(f"note: {note}", soft_wrap=True, markup=False),
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


def _reason_to_leave(checkpoint: Path, repository: Path, models: list[str], keep_other: bool) -> str:
    """Why nothing needs to be published; empty where something does."""
    from export.publishing.generator import TOKENIZER
    from export.publishing.seeding import complete_repository
    from export.publishing.staleness import fingerprint, is_current, matches, served_manifest
    from export.publishing.versions import complete_change

    complete_change(repository)
    complete_repository(repository)
    now = served_manifest(repository, models)
    source, version = now.get("checkpoint", ""), now.get("version")
    if keep_other and source not in ("", checkpoint.resolve().name):
        return f"{repository} serves version {version}, of {source}; CHECKPOINT={checkpoint} would replace it"
    wanted = fingerprint(checkpoint, repository / TOKENIZER)
    if not is_current(repository, models, wanted):
        return ""
    if matches(now, wanted):
        return f"{repository} is up to date with {checkpoint}"
    return (
        f"{repository} serves version {version}, of {source}, since a rollback; "
        f"`python -m export --checkpoint {checkpoint}` publishes {checkpoint} anew"
    )


def _print_summary(version: int, repository: Path, results: list["Exported"]) -> None:
    table = Table(title=f"version {version} in {repository}")
    for heading in ("model", "nodes", "size", "time", "parity with"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for result in results:
        size, seconds = f"{result.size_bytes / 2**20:.1f} MiB", f"{result.seconds:.1f} s"
        table.add_row(result.name, str(result.nodes), size, seconds, _parity_cell(result))
    console.print(table)
    if any(result.report is None for result in results):
        Console(stderr=True).print(
            "[yellow]warning:[/] golden.jsonl is missing, so nothing was compared with torch; "
            "fp16 and int8 were compared with the fp32 graph"
        )


def _parity_cell(result: "Exported") -> str:
    if result.report is None:
        return "not checked"
    figures = result.report.figures
    reference = "torch" if result.report.reference.startswith("torch") else "fp32"
    return f"{reference}, {figures.max_logit_difference:.1e} on {figures.texts} texts"
