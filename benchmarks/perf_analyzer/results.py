"""perf_analyzer's files: the CSV of its summary and the JSON of single requests."""

import csv
import io
import json
from dataclasses import asdict, dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.measure.summary import percentile


@dataclass(frozen=True)
class Measurement:
    """One load on one model: perf_analyzer's own summary, and the latency of every request in seconds."""

    model: str
    protocol: str
    concurrency: int | None
    requests_per_second: float | None
    summary: dict[str, float]
    latencies: list[float]

    @property
    def throughput(self) -> float:
        """Inferences a second, as perf_analyzer counts them."""
        return self.summary["Inferences/Second"]

    def latency_ms(self, percent: float) -> float:
        """A percentile of the latency in milliseconds, from the single requests."""
        return 1e3 * percentile(self.latencies, percent)

    def to_json(self) -> dict:
        """Everything, for raw.json."""
        return asdict(self) | {"latencies": [round(latency, 6) for latency in self.latencies]}


def parse_csv(text: str) -> list[dict[str, float]]:
    """The summary's rows: column to number (microseconds for times), one row a load level.

    With an ensemble, tables of the composing models follow after an empty line; they are left out.

    Raises:
        BenchmarkError: there is no row with a throughput.
    """
    table = text.strip().split("\n\n")[0]
    rows = [
        {column: float(value) for column, value in row.items() if column and value not in (None, "")}
        for row in csv.DictReader(io.StringIO(table))
    ]
    if not rows or any("Inferences/Second" not in row for row in rows):
        raise BenchmarkError("perf_analyzer's CSV has no throughput: was the load level measured?")
    return rows


def parse_latencies(text: str) -> list[float]:
    """Seconds from the request to its last response, of every request in --profile-export-file."""
    requests = [request for level in json.loads(text)["experiments"] for request in level["requests"]]
    finished = [request for request in requests if request["response_timestamps"]]
    return [(request["response_timestamps"][-1] - request["timestamp"]) / 1e9 for request in finished]
