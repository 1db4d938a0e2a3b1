"""The Flask app's benchmark table: ours, the rebuilt app, and what its author published."""

from benchmarks.measure.summary import benchmark_row, ratio_of_medians
from benchmarks.report.figures import Figures
from benchmarks.report.markdown import Cell, table
from benchmarks.rivals.published import TABLE
from benchmarks.run.suite.table import QUERIES

HEADINGS = (
    "min",
    "max",
    "mean",
    "stddev",
    "median",
    "IQR",
    "outliers",
    "OPS",
    "rounds",
    "texts",
    "Flask / this",
)
LABELS = {"flask": "Flask app, rebuilt", "sentiment": "sentiment", "sentiment_fast": "sentiment_fast"}
_IN_SECONDS = ("min", "max", "mean", "stddev", "median", "iqr")


def flask_table(figures: Figures, checkpoint: str) -> str:
    """Milliseconds and pytest-benchmark's other columns, a block of rows a query."""
    measured = figures.section(checkpoint, "table", {"rounds": {}, "sizes": {}})
    rows: list[list[Cell]] = []
    for query in QUERIES:
        by_contestant = measured["rounds"].get(query, {})
        for contestant, seconds in by_contestant.items():
            size = measured["sizes"][query]
            ratio = ratio_of_medians(by_contestant.get("flask", []), seconds)
            rows.append([f"{query}: {LABELS[contestant]}", *_columns(seconds), size, f"{ratio:.2f}x"])
        if by_contestant:
            rows.append(_published_row(query))
    return table(["milliseconds", *HEADINGS], rows)


def _columns(seconds: list[float]) -> list[Cell]:
    row = benchmark_row(seconds)
    times = [1e3 * row[name] for name in _IN_SECONDS]
    return [*times, row["outliers"], row["ops"], row["rounds"]]


def _published_row(query: str) -> list[Cell]:
    published = TABLE[query]
    times: list[Cell] = [None, None, published.mean_ms, published.stddev_ms, published.median_ms, None, None]
    return [f"{query}: published, i7-8750H", *times, 1e3 / published.mean_ms, published.rounds, None, None]
