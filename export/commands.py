"""The commands that look at models and versions: check, info, rollback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from export.errors import ExportError, GateError
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
    from onnx import ModelProto

    from export.checkpoint.reading import Checkpoint
    from export.gate.reference import Reference
    from export.gate.samples import Sample

console = Console()

ModelOption = Annotated[
    Path | None, typer.Option(help="Check this ONNX file, of the one --precision, instead of a new export.")
]


def check(
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    data: Annotated[
        Path | None, typer.Option(help="Labelled .csv, .jsonl or .parquet. Default: golden texts.")
    ] = None,
    text: Annotated[str, typer.Option(help="The column with the texts.")] = "text",
    label: Annotated[str, typer.Option(help="The column with the labels: names or numbers.")] = "label",
    label_separator: Annotated[
        str, typer.Option(help="Between the names of a cell, of a model that may give several.")
    ] = "|",
    limit: Annotated[int, typer.Option(help="Rows to take at random; 0 for all.")] = 500,
    precision: PrecisionOption = None,
    model: ModelOption = None,
) -> None:
    """Compare every precision with torch in float32, against the limits of the gate; exit 1 beyond them."""
    from export.checkpoint.reading import load_checkpoint
    from export.gate.check import check as check_model
    from export.precision.registry import choose_precisions
    from export.report import print_reports

    precisions = choose_precisions(precision)
    if model and len(precisions) != 1:
        raise ExportError("--model needs one --precision, to know which limits apply")
    loaded = load_checkpoint(checkpoint)
    sample, reference = (
        _golden(loaded) if data is None else _labelled(loaded, data, text, label, limit, label_separator)
    )
    reports = []
    for each in precisions:
        with console.status(f"checking {each}"):
            reports.append(check_model(_open(loaded, each, model), each, loaded, sample, reference))
    print_reports(console, reports)
    failures = [report.failure() for report in reports if report.violated]
    if failures:
        raise GateError("; ".join(failures))


def info(repository: RepositoryOption = DEFAULT_REPOSITORY) -> None:
    """List the published versions, say which are served, and print the newest's manifests."""
    from export.report import print_manifests

    print_manifests(console, repository)


def rollback(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    server: ServerOption = None,
    admin_key: AdminKeyOption = "",
) -> None:
    """Return to the version that was served before; a server in poll mode sees for itself."""
    from export.publishing.model_control import ExplicitServer
    from export.publishing.versions import rollback as roll_back

    after = roll_back(repository, ExplicitServer(server, admin_key) if server else None)
    for ensemble, version in after.items():
        console.print(f"{ensemble} serves version {version}")


def _golden(checkpoint: "Checkpoint") -> tuple["Sample", "Reference"]:
    from export.gate.parity import check_tokenizer
    from export.gate.reference import golden_reference
    from export.gate.samples import golden_sample

    if not checkpoint.golden:
        raise GateError(f"{checkpoint.folder} has no golden.jsonl: name a labelled file by --data")
    check_tokenizer(checkpoint)
    return golden_sample(checkpoint), golden_reference(checkpoint)


def _labelled(
    checkpoint: "Checkpoint", data: Path, text: str, label: str, limit: int, separator: str
) -> tuple["Sample", "Reference"]:
    from export.gate.reference import reference_logits
    from export.gate.samples import read_sample

    sample = read_sample(checkpoint, data, text, label, limit, separator)
    with _counting("reference logits", len(sample.rows)) as progress:
        return sample, reference_logits(checkpoint, sample, progress)


def _open(checkpoint: "Checkpoint", precision: str, path: Path | None) -> "ModelProto":
    import onnx

    from export.precision.registry import builder

    if path is None:
        return builder(precision)(checkpoint)
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf and the file system raise alike
        raise ExportError(f"{path} cannot be read as an ONNX model: {error}") from error


@contextmanager
def _counting(title: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
