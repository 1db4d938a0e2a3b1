"""Figures that several tables and plots share, computed from the raw samples."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.measure.flops import Shape, text_flops
from benchmarks.measure.peak import best_peak
from benchmarks.measure.summary import median, percentile
from benchmarks.run.store import Store
from benchmarks.servers import contestants as names


@dataclass(frozen=True)
class Point:
    """One contestant at one concurrency: medians over rounds of throughput, percentiles over all requests."""

    contestant: str
    concurrency: int
    reviews_per_second: float
    tokens_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


class Figures:
    """Read access to one store, by checkpoint (``layers24`` or ``shipped``)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def section(self, checkpoint: str, name: str, default: Any = None) -> Any:
        """The samples of ``<checkpoint>.<name>``, ``default`` where it was not measured."""
        found = self.store.get(f"{checkpoint}.{name}")
        return default if found is None else found

    def failures(self, checkpoint: str, name: str) -> dict[str, str]:
        """Who failed in ``<checkpoint>.<name>``, and why."""
        return self.store.data["measured"].get(f"{checkpoint}.{name}", {}).get("failed", {})

    def points(self, checkpoint: str) -> list[Point]:
        """The load curves, contestants in the order of LABELS."""
        rows = self.section(checkpoint, "load", [])
        keys = dict.fromkeys((row["contestant"], row["concurrency"]) for row in rows)
        return [
            _point(key, level, [r for r in rows if (r["contestant"], r["concurrency"]) == (key, level)])
            for key, level in sorted(keys, key=lambda pair: (list(names.LABELS).index(pair[0]), pair[1]))
        ]

    def point(self, checkpoint: str, contestant: str, concurrency: int) -> Point | None:
        """One of the points, None where it was not measured."""
        wanted = (contestant, concurrency)
        return next((p for p in self.points(checkpoint) if (p.contestant, p.concurrency) == wanted), None)

    def mean_flops(self, checkpoint: str) -> float:
        """FLOPs of an average review of IMDB's lengths."""
        facts = self.store.get(checkpoint)
        shape, tokens = Shape(**facts["shape"]), facts["imdb_tokens"]
        return sum(text_flops(shape, count) for count in tokens) / len(tokens)

    def gflops(self, checkpoint: str, reviews_per_second: float) -> float:
        """Useful GFLOP/s at this throughput."""
        return reviews_per_second * self.mean_flops(checkpoint) / 1e9

    def peak(self, precision: str) -> float:
        """The machine's measured product peak in GFLOP/s; nan where it was not measured."""
        peaks = self.store.get("peak")
        return best_peak(peaks, precision) if peaks else float("nan")

    def in_process(self, checkpoint: str) -> dict[tuple[str, int], float]:
        """Reviews per second by (runner, rows of a run): medians over rounds."""
        return self._in_process(checkpoint, "reviews")

    def in_process_tokens(self, checkpoint: str) -> dict[tuple[str, int], float]:
        """The same in tokens per second."""
        return self._in_process(checkpoint, "tokens")

    def _in_process(self, checkpoint: str, counted: str) -> dict[tuple[str, int], float]:
        rows = self.section(checkpoint, "in_process", [])
        speeds: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            speeds.setdefault((row["runner"], row["rows"]), []).append(row[counted] / row["seconds"])
        return {key: median(values) for key, values in speeds.items()}


def precision_of(contestant: str) -> str:
    """The precision whose peak limits this contestant."""
    if contestant == names.FLASK_BFLOAT16:
        return "bf16"
    return "int8" if "int8" in contestant or contestant == names.SENTIMENT_FAST else "fp32"


def best(points: Iterable[Point | None]) -> Point | None:
    """The point with the highest throughput, None where there is none."""
    found = [point for point in points if point]
    return max(found, key=lambda point: point.reviews_per_second, default=None)


def _point(contestant: str, concurrency: int, windows: list[dict]) -> Point:
    latencies = [latency for window in windows for latency in window["latencies"]]
    return Point(
        contestant,
        concurrency,
        median([window["reviews_per_second"] for window in windows]),
        median([window["tokens"] / window["seconds"] for window in windows]),
        1e3 * percentile(latencies, 50),
        1e3 * percentile(latencies, 99),
        len(latencies),
    )
