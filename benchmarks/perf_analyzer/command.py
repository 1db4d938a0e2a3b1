"""Run perf_analyzer against one model and read back what it wrote."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.errors import BenchmarkError
from benchmarks.load.texts import Review
from benchmarks.perf_analyzer.fetch import BINARY, environment
from benchmarks.perf_analyzer.results import Measurement, parse_csv, parse_latencies

Protocol = Literal["http", "grpc"]
TIMEOUT_S = 300


@dataclass(frozen=True)
class Load:
    """Closed loop (a number of clients) or open loop (requests a second, Poisson arrivals)."""

    concurrency: int | None = None
    requests_per_second: float | None = None

    def arguments(self) -> list[str]:
        """perf_analyzer's options for this load."""
        if self.concurrency is not None:
            return [f"--concurrency-range={self.concurrency}"]
        rate = self.requests_per_second
        return [f"--request-rate-range={rate}", "--request-distribution=poisson", "--async"]


def write_input(reviews: Sequence[Review], path: Path) -> Path:
    """The texts as --input-data takes them; perf_analyzer sends them in this order, over and over."""
    path.write_text(json.dumps({"data": [{"text": [review.text]} for review in reviews]}), encoding="utf-8")
    return path


def run(
    model: str, url: str, protocol: Protocol, load: Load, reviews: Sequence[Review], window: float
) -> Measurement:
    """Measure three windows of ``window`` seconds with real texts.

    Args:
        url: host:port of the protocol, without a scheme.

    Raises:
        BenchmarkError: perf_analyzer failed; the message ends with its last line.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(reviews, folder / "texts.json")
        command = [str(BINARY), "-m", model, "-u", url, "-i", protocol, *_files(folder), *load.arguments()]
        # Stable means three windows within 999%: always three, never a search for quieter ones.
        done = _execute([*command, "-p", str(int(1000 * window)), "-s", "999"])
        if done.returncode or not (folder / "report.csv").is_file():
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise BenchmarkError(f"perf_analyzer failed on {model}: {' '.join(lines[-2:])}")
        row = parse_csv((folder / "report.csv").read_text(encoding="utf-8"))[0]
        samples = parse_latencies((folder / "profile.json").read_text(encoding="utf-8"))
    return Measurement(model, protocol, load.concurrency, load.requests_per_second, row, samples)


def _files(folder: Path) -> list[str]:
    report = ["-f", str(folder / "report.csv"), "--verbose-csv"]
    return [
        "--input-data",
        str(folder / "texts.json"),
        *report,
        "--profile-export-file",
        str(folder / "profile.json"),
    ]


def _execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"perf_analyzer did not end within {TIMEOUT_S} s") from None
