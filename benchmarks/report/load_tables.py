"""Tables of speed under load: the headline, load curves, perf_analyzer's sweeps, text lengths."""

from benchmarks.perf_analyzer.results import Measurement
from benchmarks.report.figures import Figures, Point, best, precision_of
from benchmarks.report.markdown import Cell, table
from benchmarks.report.targets import CROWD
from benchmarks.servers import contestants as names


def headline(figures: Figures, checkpoint: str) -> str:
    """One row a contestant: latency alone, throughput and latency in a crowd, both against Flask's best."""
    flask = best(figures.point(checkpoint, key, CROWD) for key in names.FLASK)
    failed = figures.failures(checkpoint, "load")
    rows = [
        [
            f"{label} (failed: {failed[key]})" if key in failed else label,
            *_alone(figures.point(checkpoint, key, 1)),
            *_crowd(figures.point(checkpoint, key, CROWD), flask),
        ]
        for key, label in names.LABELS.items()
        if key in failed or figures.point(checkpoint, key, 1)
    ]
    crowd_headings = [f"reviews/s, {CROWD} clients", "p50 ms", "p99 ms", "against Flask"]
    return table(["", "p50 ms, 1 client", "p99 ms", *crowd_headings], rows)


def _alone(point: Point | None) -> list[Cell]:
    return [point.p50_ms, point.p99_ms] if point else [None, None]


def _crowd(point: Point | None, flask: Point | None) -> list[Cell]:
    if not point:
        return [None] * 4
    times = f"{point.reviews_per_second / flask.reviews_per_second:.2f}x" if flask else None
    return [point.reviews_per_second, point.p50_ms, point.p99_ms, times]


def load_curves(figures: Figures, checkpoint: str) -> str:
    """Every point of the load curves."""
    rows: list[list[Cell]] = [
        [
            names.LABELS[point.contestant],
            point.concurrency,
            point.reviews_per_second,
            point.tokens_per_second,
            point.p50_ms,
            point.p99_ms,
            point.requests,
        ]
        for point in figures.points(checkpoint)
    ]
    return table(["", "clients", "reviews/s", "tokens/s", "p50 ms", "p99 ms", "requests"], rows)


def perf_analyzer(figures: Figures, checkpoint: str, section: str) -> str:
    """perf_analyzer's own CSV, a row a run, and percentiles of its single requests."""
    rows: list[list[Cell]] = []
    for raw in figures.section(checkpoint, section, []):
        length, run = measurement_of(raw)
        offered = (
            f"{run.concurrency} clients" if run.concurrency else f"{run.requests_per_second:g} requests/s"
        )
        inference = run.summary.get("Server Compute Infer", float("nan")) / 1e3
        latencies: list[Cell] = [run.latency_ms(50), run.latency_ms(99), inference, len(run.latencies)]
        rows.append([f"`{run.model}`, {length}", run.protocol, offered, run.throughput, *latencies])
    headings = ["", "protocol", "load", "reviews/s", "p50 ms", "p99 ms", "infer ms", "requests"]
    return table(headings, rows)


def measurement_of(raw: dict) -> tuple[str, Measurement]:
    """The text length and the measurement of one entry of a perf_analyzer section."""
    fields = {name: value for name, value in raw.items() if name not in ("length", "mean_tokens")}
    return raw["length"], Measurement(**fields)


def limits(figures: Figures, checkpoint: str) -> str:
    """Useful GFLOP/s of every contestant at its best, and its share of the peak of its precision."""
    rows: list[list[Cell]] = [
        [label, speed, figures.gflops(checkpoint, speed), precision, 100 * share]
        for label, speed, precision, share in shares_of_limit(figures, checkpoint)
    ]
    return table(["", "reviews/s", "useful GFLOP/s", "precision", "% of its peak"], rows)


def shares_of_limit(figures: Figures, checkpoint: str) -> list[tuple[str, float, str, float]]:
    """(label, reviews/s, precision, share of that precision's peak) of servers and of runners in process."""
    found = []
    for key, label in names.LABELS.items():
        if top := best(point for point in figures.points(checkpoint) if point.contestant == key):
            found.append((label, top.reviews_per_second, precision_of(key)))
    for (runner, rows), speed in sorted(figures.in_process(checkpoint).items()):
        found.append((f"in process: {runner}, {rows} a run", speed, precision_of(runner)))
    return [
        (label, speed, precision, figures.gflops(checkpoint, speed) / figures.peak(precision))
        for label, speed, precision in found
    ]
