"""The tokenizer's own line: all that is taken in is worked on once, in order; the rest is refused."""

import threading
from collections.abc import Sequence

import pytest

from model_repository.mobilebert_tokenizer import intake
from tests.waiting import until


class Worker:
    """Keeps the batches; works only while its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, jobs: Sequence[int]) -> None:
        assert self.gate.wait(30)
        self.batches.append(list(jobs))

    @property
    def done(self) -> list[int]:
        return [job for batch in self.batches for job in batch]


@pytest.fixture
def worker() -> Worker:
    return Worker()


def held(worker: Worker, requests: int, nbytes: int):  # type: ignore[no-untyped-def]
    """A line whose worker has taken job 0 and waits at the gate."""
    line = intake.Intake(worker, requests, nbytes)
    line.offer(0, 10)
    until(lambda: not line._waiting)
    return line


@pytest.mark.parametrize(("requests", "nbytes"), [(5, 1000), (1000, 50)])
def test_beyond_the_limit_a_job_is_refused_at_once_and_those_before_it_are_done(
    worker: Worker, requests: int, nbytes: int
) -> None:
    line = held(worker, requests, nbytes)
    for job in range(1, 6):
        line.offer(job, 10)
    with pytest.raises(intake.Busy, match=r"the server is busy: 5 requests of 50 bytes wait .* in 0\.5 s"):
        line.offer(6, 10)
    worker.gate.set()
    until(lambda: len(worker.done) == 6)
    line.offer(7, 10)
    line.stop(30)
    assert worker.done == [0, 1, 2, 3, 4, 5, 7]


def test_a_job_of_any_size_is_taken_when_nothing_waits(worker: Worker) -> None:
    line = held(worker, 1, 1)
    line.offer(1, 1 << 30)
    worker.gate.set()
    line.stop(30)
    assert worker.done == [0, 1]


def test_what_waits_is_worked_on_together(worker: Worker) -> None:
    line = held(worker, 1000, 1000)
    for job in range(1, 101):
        line.offer(job, 1)
    worker.gate.set()
    line.stop(30)
    assert worker.done == list(range(101))
    assert [len(batch) for batch in worker.batches] == [1, 64, 36]


def test_a_line_that_stops_refuses_what_comes(worker: Worker) -> None:
    line = held(worker, 5, 100)
    line.offer(1, 1)
    worker.gate.set()
    line.stop(30)
    with pytest.raises(intake.Busy, match="the server is stopping"):
        line.offer(2, 1)
    assert worker.done == [0, 1]
