"""Tables of the gate's reports and of manifests, for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from export.errors import PublishError
from export.gate.check import Report
from export.gate.figures import LIMITS, limit
from export.publishing.manifest import Manifest, published
from export.publishing.versions import served

_DETAILS = ("checkpoint_sha256", "opset", "options", "libraries", "gate")


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """One row a figure, one column a precision: the value, and the limit that it has to keep.

    `max logit`, `p999 logit`, `margin` and `batch probability` are differences (see `gate.figures.Figures`).
    """
    first = reports[0]
    table = Table(title=f"{first.figures.texts} texts against {first.reference}")
    table.add_column("figure")
    for report in reports:
        table.add_column(f"{report.precision} (limit)", justify="right")
    for name in LIMITS:
        table.add_row(
            name.removesuffix("_difference").replace("_", " "), *(_cell(report, name) for report in reports)
        )
    for name in ("f1", "accuracy", "error"):
        if getattr(first.figures, name) is not None:
            table.add_row(name, *(f"{getattr(report.figures, name):.4f}" for report in reports))
    table.add_row("seconds", *(f"{report.seconds:.1f}" for report in reports))
    console.print(table)


def print_manifests(console: Console, repository: Path) -> None:
    """A table of all published models, then what the newest manifest of each says.

    Raises:
        PublishError: nothing is published there.
    """
    manifests = list(published(repository))
    if not manifests:
        raise PublishError(f"{repository} holds no published model: run `python -m export` first")
    table = Table(title=str(repository))
    for heading in ("version", "model", "size", "checkpoint", "gate", "off by"):
        table.add_column(heading, no_wrap=True)
    for manifest in manifests:
        table.add_row(*_summary(manifest))
    console.print(table)
    for path, version in served(repository).items():
        console.print(f"{path.relative_to(repository)} serves version {version}")
    for manifest in manifests:
        if manifest["version"] == manifests[0]["version"]:
            _print_details(console, manifest)


def _cell(report: Report, name: str) -> str:
    value = asdict(report.figures)[name]
    if value is None:
        return "-"
    bound = limit(report.precision, name, report.figures.texts)
    text = f"{value:.3g} ({bound:.3g})"
    return f"[red]{text}[/]" if name in report.violated else text


def _summary(manifest: Manifest) -> list[str]:
    gate: Mapping[str, Any] = manifest.get("gate") or {}
    passed = {True: "passed", False: "failed", None: "not checked"}[gate.get("passed")]
    difference = f"{gate['max_logit_difference']:.2g}" if gate else ""
    size = f"{manifest.get('bytes', 0) / 2**20:.1f} MiB"
    checkpoint = str(manifest.get("checkpoint_sha256", ""))[:12]
    return [str(manifest["version"]), str(manifest["model"]), size, checkpoint, passed, difference]


def _print_details(console: Console, manifest: Manifest) -> None:
    table = Table(title=f"{manifest['model']}, version {manifest['version']}", show_header=False)
    for name in _DETAILS:
        value = manifest.get(name)
        items = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, item in items:
            table.add_row(name, key, f"{item:.4g}" if isinstance(item, float) else str(item))
    console.print(table)
