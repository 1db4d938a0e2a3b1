import json
import subprocess

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load.callers import triton_caller
from benchmarks.load.texts import Review, long_review
from benchmarks.perf_analyzer import command
from benchmarks.perf_analyzer.fetch import environment, fetch, missing_library
from benchmarks.perf_analyzer.results import parse_csv, parse_latencies
from benchmarks.run.suite.perf import seconds_alone

# What perf_analyzer 2.51.0 wrote for an ensemble.
CSV = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Infer
4,408.939,57,6254,0,2541

Composing Models:
mobilebert_fp32:
Concurrency,Inferences/Second
4,400.1
"""
PROFILE = {
    "experiments": [
        {
            "requests": [
                {"timestamp": 1_000_000_000, "response_timestamps": [1_250_000_000]},
                {"timestamp": 2_000_000_000, "response_timestamps": [2_100_000_000, 2_500_000_000]},
                {"timestamp": 3_000_000_000, "response_timestamps": []},
            ]
        }
    ]
}
SLOW = [long_review()]
REVIEWS = [Review("a good film", 5), Review("the worst story: no plot, bad acting", 12)]


def test_csv_gives_numbers_and_leaves_composing_models_out() -> None:
    (row,) = parse_csv(CSV)
    assert row["Inferences/Second"] == 408.939
    assert row["Server Compute Infer"] == 2541


def test_csv_without_throughput_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="no throughput"):
        parse_csv("Concurrency,p50 latency\n")


def test_latency_lasts_to_the_last_response_and_lost_requests_have_none() -> None:
    assert parse_latencies(json.dumps(PROFILE)) == [0.25, 0.5]


def test_input_keeps_any_text(tmp_path) -> None:
    reviews = [Review('quotes " and \\ and\nlines, ünïcode 🎬', 9)]
    written = json.loads(command.write_input(reviews, tmp_path / "in.json").read_text(encoding="utf-8"))
    assert written == {"data": [{"text": [reviews[0].text]}]}


@pytest.fixture(scope="module")
def binary():
    """The real perf_analyzer, or a skip where this system lacks its library or the package index."""
    if problem := missing_library():
        pytest.skip(problem)
    try:
        return fetch()
    except BenchmarkError as error:
        pytest.skip(str(error))


def test_fetched_binary_runs(binary) -> None:
    shown = subprocess.run(
        [binary, "--version"], env=environment(), capture_output=True, text=True, check=False
    )
    assert "2.51.0" in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("protocol", "load"),
    [("http", command.Load(concurrency=2)), ("grpc", command.Load(requests_per_second=20.0))],
)
def test_real_texts_reach_the_live_server(binary, server, protocol, load) -> None:
    url = server.grpc_url if protocol == "grpc" else server.http_url.removeprefix("http://")
    measured = command.run("sentiment", url, protocol, load, REVIEWS, requests=10, alone=0.01)
    assert measured.throughput > 0
    assert measured.latency_ms(50) <= measured.latency_ms(99)
    assert len(measured.latencies) >= 5


def test_requests_that_outlast_any_second_are_waited_for(binary, server) -> None:
    address, load = server.http_url.removeprefix("http://"), command.Load(concurrency=2)
    alone = seconds_alone(triton_caller(server.http_url, "sentiment"), SLOW)
    window = alone / 100  # it would hold no request, on a machine of any speed
    requests = load.requests_in(window, alone)
    measured = command.run("sentiment", address, "http", load, SLOW, requests, alone)
    assert len(measured.latencies) >= command.PASSES * requests


def test_a_window_has_two_requests_a_client_or_as_many_as_its_seconds_hold() -> None:
    assert command.Load(concurrency=16).requests_in(window=1.0, alone=5.0) == 32
    assert command.Load(concurrency=16).requests_in(window=1.0, alone=0.005) == 200
    assert command.Load(requests_per_second=50.0).requests_in(window=2.0, alone=0.1) == 100
    assert command.Load(requests_per_second=1.0).requests_in(window=1.0, alone=0.1) == command.FEWEST


def test_unknown_model_is_one_line(binary, server) -> None:
    address = server.http_url.removeprefix("http://")
    with pytest.raises(BenchmarkError, match="perf_analyzer failed on nonsense") as failure:
        command.run("nonsense", address, "http", command.Load(concurrency=1), REVIEWS, requests=2, alone=0.01)
    assert "\n" not in str(failure.value)
