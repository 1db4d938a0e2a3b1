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
PASSES = 3
# Answers of a window in an open loop, at least.
FEWEST = 4


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

    def requests_in(self, window: float, alone: float) -> int:
        """How many requests take about ``window`` seconds, where one alone takes ``alone`` seconds.

        At least two a client: a window of seconds may be over before a slow machine has answered once.
        """
        if self.concurrency is not None:
            return max(2 * self.concurrency, round(window / alone))
        return max(FEWEST, round(window * (self.requests_per_second or 0)))


def write_input(reviews: Sequence[Review], path: Path) -> Path:
    """The texts as --input-data takes them; perf_analyzer sends them in this order, over and over."""
    path.write_text(json.dumps({"data": [{"text": [review.text]} for review in reviews]}), encoding="utf-8")
    return path


def run(
    model: str,
    url: str,
    protocol: Protocol,
    load: Load,
    reviews: Sequence[Review],
    requests: int,
    alone: float,
) -> Measurement:
    """Measure three windows of ``requests`` answers or a second, whichever is more, with real texts.

    Args:
        url: host:port of the protocol, without a scheme.
        alone: Seconds that one request takes without others; gives the whole its time limit.

    Raises:
        BenchmarkError: perf_analyzer failed; the message ends with its last line.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(reviews, folder / "texts.json")
        command = [str(BINARY), "-m", model, "-u", url, "-i", protocol, *_files(folder), *load.arguments()]
        # Stable means three windows within 999%: always three, never a search for quieter ones.
        windows = ["--measurement-mode=count_windows", f"--measurement-request-count={requests}", "-s", "999"]
        done = _execute([*command, *windows], TIMEOUT_S + 2 * PASSES * requests * alone)
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


def _execute(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"perf_analyzer did not end within {seconds:.0f} s") from None
