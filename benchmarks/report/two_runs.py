"""Two whole runs of one machine side by side: which figures hold, and which swing."""

from benchmarks.report.figures import Figures
from benchmarks.report.markdown import Cell, cell, table
from benchmarks.report.targets import CROWD, all_targets
from benchmarks.run.everything import DEEP, SHIPPED
from benchmarks.servers import contestants as names

# Two figures that differ by more are marked.
SWING = 0.15
TITLES = {DEEP: "24 layers", SHIPPED: "The shipped model"}


def two_runs(first: Figures, second: Figures) -> str:
    """Markdown: the targets, then the speeds of each checkpoint. `*` marks what swings by over 15%."""
    parts = [_targets(first, second)]
    for checkpoint, title in TITLES.items():
        if first.points(checkpoint) and second.points(checkpoint):
            parts += [f"**{title}**, IMDB's lengths:", _speeds(first, second, checkpoint)]
    return "\n\n".join(parts) + "\n"


def swing(first: float, second: float) -> float:
    """How much the larger of two figures is above the smaller, as a share of the smaller."""
    return max(first, second) / min(first, second) - 1


def _targets(first: Figures, second: Figures) -> str:
    pairs = zip(all_targets(first), all_targets(second), strict=True)
    rows: list[list[Cell]] = [
        [
            one.name,
            *(f"{cell(each.measured)}{each.unit}" for each in (one, two)),
            _percent(one.measured, two.measured),
        ]
        for one, two in pairs
        if one.known and two.known
    ]
    return table(["", "first run", "second run", "swing"], rows)


def _percent(first: float, second: float) -> str:
    difference = swing(first, second)
    return f"{100 * difference:.0f}%{' *' if difference > SWING else ''}"


def _speeds(first: Figures, second: Figures, checkpoint: str) -> str:
    rows: list[list[Cell]] = []
    for key, label in names.LABELS.items():
        alone = [each.point(checkpoint, key, 1) for each in (first, second)]
        crowd = [each.point(checkpoint, key, CROWD) for each in (first, second)]
        if any(alone) or any(crowd):
            latencies = [point.p50_ms if point else None for point in alone]
            speeds = [point.reviews_per_second if point else None for point in crowd]
            rows.append([label, *_pair(latencies), *_pair(speeds)])
    alone_headings = ["p50 ms, 1 client: first", "second", "swing"]
    return table(["", *alone_headings, f"reviews/s, {CROWD} clients: first", "second", "swing"], rows)


def _pair(values: list[float | None]) -> list[Cell]:
    first, second = values
    return [first, second, _percent(first, second) if first and second else None]
