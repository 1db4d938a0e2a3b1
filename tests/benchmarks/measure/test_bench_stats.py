import time

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load.callers import triton_caller
from benchmarks.load.closed_loop import LoadResult
from benchmarks.measure.machine import usable_cores
from benchmarks.measure.triton_stats import ModelStats, parse_stats, read_run_core_seconds, read_stats
from benchmarks.run.suite.layers import layers_of
from tests.waiting import until


def duration(count: int, ms: float) -> dict:
    return {"count": count, "ns": int(ms * 1e6)}


ANSWER = {
    "model_stats": [
        {
            "version": version,
            "inference_count": 6,
            "execution_count": 2,
            "inference_stats": {
                "success": duration(4, 100),
                "queue": duration(4, 20),
                "compute_input": duration(4, 4),
                "compute_infer": duration(4, 70),
                "compute_output": duration(4, 6),
            },
        }
        for version in ("1", "2")
    ]
}


def test_versions_add_up_and_batches_count_once() -> None:
    stats = parse_stats(ANSWER)
    assert (stats.requests, stats.rows, stats.executions) == (8, 12, 4)
    assert stats.seconds["compute_infer"] == pytest.approx(0.140)


def test_difference_is_what_happened_in_between() -> None:
    stats = parse_stats(ANSWER)
    nothing = stats.since(stats)
    assert (nothing.requests, nothing.seconds["queue"]) == (0, 0)


def test_live_server_counts_the_time_of_runs(server, texts) -> None:
    seconds = []
    for _ in range(2):
        time.sleep(2.0)  # the server writes it twice a second
        seconds.append(read_run_core_seconds(server.metrics_url, "mobilebert_fp32"))
        began = time.perf_counter()
        triton_caller(server.http_url, "sentiment")([f"{text} {began}" for text in texts])
        lasted = time.perf_counter() - began
    until(lambda: read_run_core_seconds(server.metrics_url, "mobilebert_fp32") > seconds[1])
    added = read_run_core_seconds(server.metrics_url, "mobilebert_fp32") - seconds[1]
    assert 0 < added < lasted * usable_cores()


def test_live_server_counts_our_requests(server, texts) -> None:
    before = read_stats(server.http_url, "mobilebert_fp32")
    triton_caller(server.http_url, "sentiment")([f"{text} {id(before)}" for text in texts])
    # Triton counts a request beside its answer, maybe after it.
    until(lambda: read_stats(server.http_url, "mobilebert_fp32").since(before).rows >= len(texts))
    added = read_stats(server.http_url, "mobilebert_fp32").since(before)
    assert added.rows == len(texts)
    assert added.seconds["compute_infer"] > 0


def test_unknown_model_has_no_statistics(server) -> None:
    with pytest.raises(BenchmarkError, match="nonsense"):
        read_stats(server.http_url, "nonsense")


def test_layers_add_up_to_the_latency() -> None:
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    times = {
        "ensemble": (0.10, 0, 0, 0, 0),
        "tokenizer": (0.02, 0.01, 0.002, 0.006, 0.002),
        "model": (0.07, 0.03, 0.005, 0.03, 0.005),
    }
    spent = {
        name: ModelStats(1, 1, 1, dict(zip(parts, seconds, strict=True))) for name, seconds in times.items()
    }
    layers = layers_of(spent, LoadResult(8, 1.0, [0.12], 10, overall_mean_latency=0.12))
    inside = sum(layers["tokenizer"].values()) + sum(layers["model"].values())
    assert layers["http"] + layers["steps"] + inside == pytest.approx(layers["latency"])
