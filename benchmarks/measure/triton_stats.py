"""Triton's statistics endpoint: what each composing model of an ensemble spent, between two moments."""

from dataclasses import dataclass

import urllib3

from benchmarks.errors import BenchmarkError

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelStats:
    """Totals of one model: requests, rows and executions counted, times in seconds.

    Times of ``PARTS`` add up over requests.
    """

    requests: int
    rows: int
    executions: int
    seconds: dict[str, float]

    def since(self, earlier: "ModelStats") -> "ModelStats":
        """What was added after ``earlier``."""
        return ModelStats(
            self.requests - earlier.requests,
            self.rows - earlier.rows,
            self.executions - earlier.executions,
            {part: self.seconds[part] - earlier.seconds[part] for part in self.seconds},
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


def read_run_core_seconds(metrics_url: str, model: str) -> float:
    """Seconds times threads of ONNX Runtime's runs of ``model`` since the server's start.

    The backend adds to this counter twice a second.
    """
    lines = urllib3.request("GET", metrics_url, timeout=10).data.decode().splitlines()
    own = [line for line in lines if line.startswith(f'onnxruntime_run_core_us{{model="{model}",')]
    return sum(float(line.split()[-1]) for line in own) / 1e6


def parse_stats(answer: dict) -> ModelStats:
    """Sum the versions in the JSON of the statistics endpoint."""
    versions = answer["model_stats"]
    inference = [version["inference_stats"] for version in versions]
    seconds = {part: sum(each[part]["ns"] for each in inference) / 1e9 for part in ("success", *PARTS)}
    return ModelStats(
        requests=sum(each["success"]["count"] for each in inference),
        rows=sum(version["inference_count"] for version in versions),
        executions=sum(version["execution_count"] for version in versions),
        seconds=seconds,
    )
