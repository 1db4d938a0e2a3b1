"""How the backend cuts a batch into runs, with a session that adds up rows in place of a model."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from serving.onnxruntime_backend.batching import Outcome, Request
from serving.onnxruntime_backend.load import MEMORY, Load
from serving.onnxruntime_backend.plan import LARGEST, plan_runs
from serving.onnxruntime_backend.runner import Runner, ragged_source
from serving.onnxruntime_backend.settings import parse_settings
from serving.onnxruntime_backend.workers import Workers

BAD = -1


def config(ragged: bool = True, kind: str = "BATCH_ITEM_SHAPE_FLATTEN", size: int = 64) -> dict:
    lengths = {"kind": kind, "target_name": ["n"], "data_type": "TYPE_INT32", "source_input": ["ids"]}
    return {
        "name": "sums",
        "max_batch_size": size,
        "input": [{"name": "ids", "data_type": "TYPE_INT64", "dims": [-1], "allow_ragged_batch": ragged}],
        "output": [{"name": "sum", "data_type": "TYPE_INT64", "dims": [1]}],
        "batch_input": [lengths] if ragged else [],
    }


@dataclass
class Summing:
    """A session that adds up each row, fails on a BAD id, and logs its threads and the rows of each run."""

    threads: int
    runs: list[tuple[int, list[int]]] = field(default_factory=list)

    def run(self, names: Sequence[str], feeds: dict, options: None) -> list[np.ndarray]:
        rows, columns = np.atleast_2d(feeds["ids"]).shape
        lengths = feeds["n"].tolist() if "n" in feeds else [columns] * rows
        self.runs.append((self.threads, lengths))
        if BAD in feeds["ids"]:
            raise RuntimeError("bad id")
        rows = np.split(feeds["ids"].reshape(-1), np.cumsum(lengths)[:-1])
        return [np.array([[row.sum()] for row in rows])]


class Sums:
    """A runner over Summing sessions that share one log."""

    def __init__(
        self, settings: dict, threads: int, cut: bool = True, session: type[Summing] = Summing
    ) -> None:
        self.runs: list[tuple[int, list[int]]] = []
        self.runner = Runner(parse_settings(settings), threads, lambda n: session(n, self.runs), cut=cut)

    def __call__(self, batch: Sequence[Request]) -> dict[int, Outcome]:
        """Every answer, in the order in which they came."""
        answers: dict[int, Outcome] = {}
        self.start(batch, answers.__setitem__)
        wait_until(lambda: len(answers) == len(batch))
        return answers

    def start(self, batch: Sequence[Request], answer: Callable[[int, Outcome], None]) -> None:
        self.runner.run(list(enumerate(batch)), ["sum"], answer)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited for 10 s"
        time.sleep(0.001)


def requests_of(*shapes: tuple[int, int]) -> list[Request]:
    generator = np.random.default_rng(0)
    return [{"ids": generator.integers(0, 1000, shape)} for shape in shapes]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_request_gets_the_sums_of_its_own_rows(threads: int) -> None:
    batch = requests_of((1, 500), (3, 40), (1, 7), (2, 300), (1, 512), (64, 9), (5, 0))
    answers = Sums(config(), threads)(batch)
    assert sorted(answers) == list(range(len(batch)))
    for number, request in enumerate(batch):
        np.testing.assert_array_equal(answers[number]["sum"][:, 0], request["ids"].sum(axis=1))


def test_a_single_row_runs_on_all_threads() -> None:
    sums = Sums(config(), 2)
    sums(requests_of((1, 400)))
    assert sums.runs == [(2, [400])]


def test_equal_rows_run_side_by_side_on_one_thread_each() -> None:
    sums = Sums(config(), 2)
    sums(requests_of((1, 400), (3, 400)))
    assert sums.runs == [(1, [400])] * 4


@pytest.mark.parametrize("whole", [{"settings": config(ragged=False)}, {"settings": config(), "cut": False}])
def test_rectangular_batches_and_those_for_a_gpu_run_whole(whole: dict) -> None:
    sums = Sums(threads=2, **whole)
    sums(requests_of((1, 400), (2, 400)))
    assert sums.runs == [(2, [400] * 3)]


def test_batch_inputs_that_tell_of_other_rows_keep_the_batch_whole() -> None:
    assert ragged_source(parse_settings(config())) == "ids"
    assert ragged_source(parse_settings(config(kind="BATCH_ACCUMULATED_ELEMENT_COUNT"))) is None
    assert ragged_source(parse_settings(config(size=0))) is None


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("length", [10, 400])
def test_a_failure_costs_only_the_request_that_causes_it(threads: int, length: int) -> None:
    batch = requests_of((1, length), (2, length), (1, length))
    batch[1]["ids"][1, 3] = BAD
    answers = Sums(config(), threads)(batch)
    assert str(answers[1]) == "bad id"
    for number in (0, 2):
        np.testing.assert_array_equal(answers[number]["sum"][:, 0], batch[number]["ids"].sum(axis=1))


def test_a_request_is_answered_before_the_batch_is_done() -> None:
    sums, done = Sums(config(), 1), []
    batch = requests_of((1, 500), (2, 300), (1, 100))
    sums.start(batch, lambda number, _: done.append((number, len(sums.runs))))
    assert done == [(0, 1), (1, 3), (2, 3)]


def test_runs_side_by_side_overlap_on_sessions_of_their_own() -> None:
    together, used = threading.Barrier(2, timeout=5), set()

    class Meeting(Summing):
        def run(self, *given: object) -> list[np.ndarray]:
            used.add(id(self))
            together.wait()
            return super().run(*given)

    sums = Sums(config(), 2, session=Meeting)
    assert len(sums(requests_of((1, 400), (1, 400)))) == 2
    assert len(used) == 2


class Gated(Summing):
    """A session whose runs of long rows wait until the test opens the gate."""

    gate = threading.Event()

    def run(self, names: Sequence[str], feeds: dict, options: None) -> list[np.ndarray]:
        if feeds["ids"].size > 300:
            assert self.gate.wait(10)
        return super().run(names, feeds, options)


def test_a_free_core_gets_the_next_batch_while_a_run_is_under_way() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 2, session=Gated), {}
    sums.start(requests_of((1, 290), (1, 400)), lambda number, _: answers.setdefault(("first", number), None))
    sums.start(requests_of((1, 100)), lambda number, _: answers.setdefault(("second", number), None))
    wait_until(lambda: ("second", 0) in answers)
    assert ("first", 1) not in answers
    Gated.gate.set()
    wait_until(lambda: len(answers) == 3)
    assert {threads for threads, _ in sums.runs} == {1}


def test_a_row_alone_takes_all_threads_again_when_no_batches_have_met_for_some_runs() -> None:
    sums = Sums(config(), 2)
    sums.runner.load._met = time.monotonic() + 3600
    sums(requests_of((1, 400)))
    sums.runner.load._met = time.monotonic() - 3600
    time.sleep(0.01)  # a batch that comes at once has been waiting
    sums(requests_of((1, 400)))
    assert [threads for threads, _ in sums.runs] == [1, 2]


def test_load_is_light_until_batches_meet_and_again_after_some_runs() -> None:
    load = Load()
    load.arrive()
    assert load.is_light()
    with load.run(2):
        time.sleep(0.02)
        load.arrive()  # beside a run
    assert not load.is_light()
    wait_until(load.is_light)
    load.leave()
    load.arrive()  # at once: it has been waiting
    assert not load.is_light()
    assert load._duration * MEMORY > 0.05


def test_core_seconds_count_each_thread_once() -> None:
    load = Load()
    with load.run(2):
        time.sleep(0.05)
    with load.run(1):
        time.sleep(0.05)
    assert 0.15 <= load.take_core_seconds() < 1
    assert load.take_core_seconds() == 0


def test_a_worker_outlives_a_job_that_raises(capfd: pytest.CaptureFixture[str]) -> None:
    workers, done = Workers([None]), []  # type: ignore[list-item]
    workers.submit([lambda session: 1 / 0, lambda session: done.append(1)])
    assert done == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_plan_holds_every_row_once_within_its_budget_and_longest_first(threads: int) -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        lengths = generator.integers(1, 600, generator.integers(1, 65)).tolist()
        plan = plan_runs(lengths, threads)
        rows = [row for run in plan.runs for row in run]
        assert sorted(rows) == list(range(len(lengths)))
        assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
        assert all(len(run) == 1 or sum(lengths[row] for row in run) <= LARGEST for run in plan.runs)


def test_short_rows_share_a_run_and_still_keep_all_threads_busy() -> None:
    plan = plan_runs([20] * 32, threads=2)
    assert [len(run) for run in plan.runs] == [16, 16]
    assert plan.side_by_side


def test_a_row_that_dwarfs_the_others_is_not_left_to_one_thread() -> None:
    assert not plan_runs([500, 20], threads=2).side_by_side
    assert not plan_runs([500], threads=2).side_by_side
    assert not plan_runs([300, 300], threads=1).side_by_side
