"""How the backend cuts a batch into runs, with a session that adds up rows in place of a model."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from serving.onnxruntime_backend.batching import Answer, Request
from serving.onnxruntime_backend.plan import LARGEST, plan_runs
from serving.onnxruntime_backend.runner import Runner, ragged_source
from serving.onnxruntime_backend.settings import parse_settings

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

    def __init__(self, settings: dict, threads: int, cut: bool = True) -> None:
        self.runs: list[tuple[int, list[int]]] = []
        self.runner = Runner(parse_settings(settings), threads, lambda n: Summing(n, self.runs), cut=cut)

    def __call__(self, batch: Sequence[Request]) -> dict[int, object]:
        return dict(answer for done in self.answers(batch) for answer in done)

    def answers(self, batch: Sequence[Request]) -> list[list[Answer]]:
        return list(self.runner.answers(list(enumerate(batch)), ["sum"]))


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
    done = Sums(config(), 1).answers(requests_of((1, 500), (2, 300), (1, 100)))
    assert [[number for number, _ in answers] for answers in done] == [[0], [], [1, 2]]


def test_runs_side_by_side_overlap() -> None:
    together = threading.Barrier(2, timeout=5)
    sums = Sums(config(), 2)
    alone = sums.runner.alone.run
    sums.runner.alone.run = lambda *given: (together.wait(), alone(*given))[1]
    assert len(sums(requests_of((1, 400), (1, 400)))) == 2


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
