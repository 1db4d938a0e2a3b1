"""Triton's statistics endpoint: what each composing model of an ensemble spent, between two moments."""

from dataclasses import dataclass

import urllib3

from benchmarks.errors import BenchmarkError

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelStats:
    """Totals of one model: requests, rows and executions counted, times in seconds.

    Times of ``PARTS`` add up over requests. ``busy`` is the time of executions (input, run, output), counted
    once for a batch: how long instances were occupied; ``busy_infer`` is that of the runs alone.
    """

    requests: int
    rows: int
    executions: int
    seconds: dict[str, float]
    busy: float
    busy_infer: float

    def since(self, earlier: "ModelStats") -> "ModelStats":
        """What was added after ``earlier``."""
        return ModelStats(
            self.requests - earlier.requests,
            self.rows - earlier.rows,
            self.executions - earlier.executions,
            {part: self.seconds[part] - earlier.seconds[part] for part in self.seconds},
            self.busy - earlier.busy,
            self.busy_infer - earlier.busy_infer,
        )


def read_stats(base_url: str, model: str) -> ModelStats:
    """Totals of all versions of ``model`` since the server's start.

    Raises:
        BenchmarkError: the server does not know the model.
    """
    response = urllib3.request("GET", f"{base_url}/v2/models/{model}/stats", timeout=10)
    if response.status != 200:
        raise BenchmarkError(f"Triton has no statistics of {model}: {response.data[:200].decode()}")
    return parse_stats(response.json())


def instances_of(base_url: str, model: str) -> int:
    """How many instances of ``model`` the server runs."""
    config = urllib3.request("GET", f"{base_url}/v2/models/{model}/config", timeout=10).json()
    return max(1, sum(group.get("count", 1) for group in config.get("instance_group", [])))


def parse_stats(answer: dict) -> ModelStats:
    """Sum the versions in the JSON of the statistics endpoint."""
    versions = answer["model_stats"]
    inference = [version["inference_stats"] for version in versions]
    batches = [batch for version in versions for batch in version.get("batch_stats", [])]
    seconds = {part: sum(each[part]["ns"] for each in inference) / 1e9 for part in ("success", *PARTS)}
    busy = {part: sum(batch[part]["ns"] for batch in batches) / 1e9 for part in PARTS[1:]}
    return ModelStats(
        requests=sum(each["success"]["count"] for each in inference),
        rows=sum(version["inference_count"] for version in versions),
        executions=sum(version["execution_count"] for version in versions),
        seconds=seconds,
        busy=sum(busy.values()),
        busy_infer=busy["compute_infer"],
    )
