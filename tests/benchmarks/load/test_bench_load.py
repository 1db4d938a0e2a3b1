import socket
import threading
import time

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import callers
from benchmarks.load.closed_loop import LoadResult, closed_loop
from benchmarks.load.texts import Review

REVIEWS = [Review(str(i), tokens=10 + i) for i in range(8)]


class Recording:
    """A first-come-first-served server with ``slots`` workers that take a fixed time a request."""

    def __init__(self, seconds: float, slots: int) -> None:
        self.seconds, self.free_at = seconds, [0.0] * slots
        self.lock, self.inside, self.most_inside, self.seen = threading.Lock(), 0, 0, []

    def __call__(self, texts):
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.seen.append(texts[0])
            slot = self.free_at.index(min(self.free_at))
            done = max(self.free_at[slot], time.perf_counter()) + self.seconds
            self.free_at[slot] = done
        time.sleep(max(0.0, done - time.perf_counter()))
        with self.lock:
            self.inside -= 1
        return ["positive"]


def test_every_client_is_busy_and_texts_come_in_order() -> None:
    server = Recording(0.01, slots=4)
    result = closed_loop(server, REVIEWS, concurrency=4, seconds=0.2)
    assert server.most_inside == 4
    assert server.seen[:8] == [review.text for review in REVIEWS]
    assert all(latency >= 0.01 for latency in result.latencies)


def test_littles_law_holds_for_a_queueing_server() -> None:
    result = closed_loop(Recording(0.01, slots=1), REVIEWS, concurrency=5, seconds=2)
    mean_latency = sum(result.latencies) / len(result.latencies)
    assert result.reviews_per_second * mean_latency == pytest.approx(5, rel=0.1)


def test_window_counts_the_tokens_of_its_own_requests() -> None:
    same = [Review("x", tokens=7)]
    result = closed_loop(Recording(0.001, slots=2), same, concurrency=2, seconds=0.05)
    assert result.tokens == 7 * len(result.latencies)


def test_a_failing_request_fails_the_run() -> None:
    def refuse(texts):
        raise RuntimeError("no")

    with pytest.raises(BenchmarkError, match="no"):
        closed_loop(refuse, REVIEWS, concurrency=2, seconds=0.05)


def test_a_server_that_says_nothing_is_asked_once(monkeypatch) -> None:
    monkeypatch.setattr(callers, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        caller = callers.flask_caller(f"http://127.0.0.1:{silent.getsockname()[1]}", "single")
        began = time.perf_counter()
        with pytest.raises(BenchmarkError, match="timed out"):
            closed_loop(caller, REVIEWS, concurrency=1, seconds=0.05)
        assert time.perf_counter() - began < 1


def test_result_survives_json() -> None:
    result = LoadResult(2, 1.5, [0.1, 0.2], 30, 0.15)
    assert LoadResult.from_json(result.to_json()) == result
