"""How the backend runs what waits, with a session that adds up rows in place of a model."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.onnxruntime_backend import runner, utilization
from serving.onnxruntime_backend.limits import QueueLimits
from serving.onnxruntime_backend.merging import Outcome, Request
from serving.onnxruntime_backend.plan import LARGEST, plan_runs
from serving.onnxruntime_backend.request_queue import Cancelled, Expired, Refused
from serving.onnxruntime_backend.runner import AT_ONCE, WORTH_ASKING, Runner, ragged_source
from serving.onnxruntime_backend.settings import parse_settings
from serving.onnxruntime_backend.tickets import NOT_TOGETHER, Ticket
from serving.onnxruntime_backend.utilization import MEMORY, MEMORY_S, Utilization

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
    metadata: dict[str, str] = field(default_factory=dict)

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map=self.metadata)

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
        self,
        settings: dict,
        threads: int,
        session: type[Summing] = Summing,
        **more: Any,
    ) -> None:
        self.runs: list[tuple[int, list[int]]] = []
        more = {"limits": QueueLimits(seconds=1000)} | more
        self.runner = Runner(parse_settings(settings), threads, lambda n: session(n, self.runs), **more)

    def __call__(self, batch: Sequence[Request]) -> dict[int, Outcome]:
        """Every answer, in the order in which they came."""
        answers: dict[int, Outcome] = {}
        self.start(batch, answers.__setitem__)
        wait_until(lambda: len(answers) == len(batch))
        return answers

    def start(
        self, batch: Sequence[Request], answer: Callable[[int, Outcome], None], **more: Any
    ) -> list[Refused | None]:
        """Requests that come at once."""
        return self.runner.submit(
            [self.ticket(request, partial(answer, number), **more) for number, request in enumerate(batch)]
        )

    def ticket(self, request: Request, answer: Callable[[Outcome], None], **more: Any) -> Ticket:
        return Ticket(request, self.runner.ticket_sizes(request), ["sum"], answer, **more)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for 60 s"
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


def test_rows_share_runs_by_what_they_cost_without_their_padding() -> None:
    ids = np.zeros((21, 4096), np.int64)
    ids[7] = 1
    ids[np.arange(21) != 7, :20] = 2
    session = partial(Summing, metadata={"padding_id": "0"})
    sums = Sums(config(), 2, session=session)  # type: ignore[arg-type]
    assert sums.runner.ticket_sizes({"ids": ids}) == [20] * 7 + [4096] + [20] * 13
    answers = sums([{"ids": ids}])
    np.testing.assert_array_equal(answers[0]["sum"][:, 0], ids.sum(axis=1))
    assert len(sums.runs) < len(ids) / 2, "twenty rows of 20 ids are one run, or two"


def test_a_single_row_runs_on_all_threads() -> None:
    sums = Sums(config(), 2)
    sums(requests_of((1, 400)))
    assert sums.runs == [(2, [400])]


def run_alone(sums: Sums, request: Request, answers: list[Outcome]) -> bool:
    return sums.runner.run_alone(sums.ticket(request, answers.append))


def test_a_lone_row_is_answered_in_the_thread_that_brings_it() -> None:
    sums, answers, threads = Sums(config(), 2), [], []
    [request] = requests_of((1, 400))
    ticket = sums.ticket(request, lambda outcome: threads.append(threading.get_ident()))
    assert sums.runner.run_alone(ticket)
    assert threads == [threading.get_ident()]
    time.sleep(2 * AT_ONCE)
    assert run_alone(sums, request, answers)
    np.testing.assert_array_equal(answers[0]["sum"], [[request["ids"].sum()]])
    assert sums.runs == [(2, [400])] * 2
    assert not sums.runner.queue
    assert len(sums(requests_of((1, 20), (1, 30)))) == 2  # the runner's own threads go on


def test_a_lone_row_that_fails_is_told_so_and_the_next_one_is_answered() -> None:
    sums, answers = Sums(config(), 2), []
    bad, good = requests_of((1, 40), (1, 40))
    bad["ids"][0, 3] = BAD
    assert run_alone(sums, bad, answers)
    time.sleep(2 * AT_ONCE)
    assert run_alone(sums, good, answers)
    assert str(answers[0]) == "bad id"
    assert answers[1]["sum"] == good["ids"].sum()


@pytest.mark.parametrize(
    ("sums", "shape"),
    [
        ({"settings": config()}, (2, 20)),
        ({"settings": config()}, (1, LARGEST + 1)),
        ({"settings": config(ragged=False)}, (1, 20)),
        ({"settings": config(), "cut": False}, (1, 20)),
    ],
    ids=["several rows", "a long row", "a rectangular batch", "for a GPU"],
)
def test_what_may_take_long_or_is_not_cut_is_left_to_the_threads(sums: dict, shape: tuple[int, int]) -> None:
    assert not run_alone(Sums(threads=2, **sums), *requests_of(shape), [])


@pytest.mark.usefixtures("long_memory")
def test_a_row_is_left_to_the_threads_once_requests_meet() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 2, session=Gated), {}
    assert run_alone(sums, *requests_of((1, 20)), [])
    time.sleep(2 * AT_ONCE)
    sums.start(requests_of((1, 400)), lambda _, outcome: answers.setdefault("long", outcome))
    assert not run_alone(sums, *requests_of((1, 20)), []), "another one waits or runs"
    sums.start(requests_of((1, 20)), lambda _, outcome: answers.setdefault("short", outcome))
    Gated.gate.set()
    wait_until(lambda: len(answers) == 2 and not sums.runner._running)
    assert not run_alone(sums, *requests_of((1, 20)), []), "they have met just now"


@pytest.mark.usefixtures("long_memory")
def test_a_row_that_comes_as_soon_as_another_is_answered_has_waited_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "AT_ONCE", 60.0)
    sums = Sums(config(), 2)
    assert run_alone(sums, *requests_of((1, 20)), [])
    assert not run_alone(sums, *requests_of((1, 20)), [])
    assert not sums.runner.utilization.is_light()


def test_a_runner_that_stops_runs_nothing_on_the_spot() -> None:
    sums = Sums(config(), 2)
    sums.runner.stop(10.0)
    assert not run_alone(sums, *requests_of((1, 20)), [])


@pytest.fixture
def long_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that have met are expected to meet again; these runs are too short to be remembered."""
    monkeypatch.setattr(utilization, "MEMORY", 1e9)


@pytest.mark.usefixtures("long_memory")
def test_equal_rows_run_side_by_side_on_one_thread_each() -> None:
    sums = Sums(config(), 2)
    sums(requests_of((1, 20)))
    sums.runs.clear()
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


def test_a_request_is_answered_before_the_others_are_done() -> None:
    sums, done = Sums(config(), 1), []
    batch = requests_of((1, 500), (2, 300), (1, 100))
    sums.start(batch, lambda number, _: done.append((number, len(sums.runs))))
    wait_until(lambda: len(done) == 3)
    assert done[0][1] < done[1][1] <= done[2][1]


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


@pytest.mark.usefixtures("long_memory")
def test_a_free_core_takes_what_comes_while_a_run_is_under_way() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 2, session=Gated), {}
    sums(requests_of((1, 20)))
    sums.runs.clear()
    # The run of 450 waits at the gate, and is too long to share a run; 150 and 100 may share one.
    sums.start(requests_of((1, 150), (1, 450)), lambda number, _: answers.setdefault(("first", number), None))
    sums.start(requests_of((1, 100)), lambda number, _: answers.setdefault(("second", number), None))
    wait_until(lambda: ("second", 0) in answers)
    assert ("first", 1) not in answers
    Gated.gate.set()
    wait_until(lambda: len(answers) == 3)
    assert {threads for threads, _ in sums.runs} == {1}


def test_a_row_alone_takes_all_threads_again_when_no_requests_have_met_for_some_runs() -> None:
    sums = Sums(config(), 2)
    sums.runner.utilization._met = time.monotonic() + 3600
    sums(requests_of((1, 400)))
    sums.runner.utilization._met = time.monotonic() - 3600
    wait_until(lambda: not sums.runner._running)
    sums(requests_of((1, 400)))
    assert [threads for threads, _ in sums.runs] == [1, 2]


def test_load_is_light_until_requests_meet_and_again_after_some_runs() -> None:
    now = 0.0
    busy = Utilization(lambda: now)
    assert busy.is_light()
    with busy.run(2):
        now = 0.02
    busy.meet()
    assert not busy.is_light()
    now += MEMORY * 0.02 - 0.001
    assert not busy.is_light()
    now += 0.002
    assert busy.is_light()
    with busy.run(2):
        now += 0.0004  # a sentence
    busy.meet()
    now += MEMORY_S - 0.001
    assert not busy.is_light()
    now += 0.002
    assert busy.is_light()


@pytest.mark.usefixtures("long_memory")
def test_requests_meet_when_one_comes_while_another_runs() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 2, session=Gated), {}
    sums(requests_of((1, 20)))
    sums.start(requests_of((1, 400)), answers.__setitem__)
    assert sums.runner.utilization.is_light()
    sums.start(requests_of((1, 300)), answers.__setitem__)
    assert not sums.runner.utilization.is_light()
    Gated.gate.set()


def test_core_seconds_count_each_thread_once() -> None:
    now = 0.0
    busy = Utilization(lambda: now)
    with busy.run(2):
        now += 0.05
    with busy.run(1):
        now += 0.05
    assert busy.take_core_seconds() == pytest.approx(0.15)
    assert busy.take_core_seconds() == 0


def test_an_answer_that_cannot_be_sent_costs_no_other_request(capfd: pytest.CaptureFixture[str]) -> None:
    """As when no shared memory is left: all 32 share a run, and the first answers fail."""
    sums, answers = Sums(config(), 2), {}

    def answer(number: int, outcome: Outcome) -> None:
        if number < 16 and not isinstance(outcome, Exception):
            raise RuntimeError("no shared memory")
        answers[number] = outcome

    batch = requests_of(*[(1, 10)] * 32)
    sums.start(batch, answer)
    wait_until(lambda: len(answers) == 32)
    for number, request in enumerate(batch[16:], start=16):
        np.testing.assert_array_equal(answers[number]["sum"][:, 0], request["ids"].sum(axis=1))
    assert {str(answers[number]) for number in range(16)} == {"the answer could not be sent"}
    assert "no shared memory" in capfd.readouterr().err
    assert len(sums(batch)) == 32  # the workers live on


def test_a_request_that_cannot_even_be_told_of_its_failure_costs_no_other_one() -> None:
    sums, answers = Sums(config(), 1), {}

    def answer(number: int, outcome: Outcome) -> None:
        if number == 0:
            raise RuntimeError("no shared memory")
        answers[number] = outcome

    sums.start(requests_of((1, 10), (1, 10)), answer)
    wait_until(lambda: 1 in answers)


class Wide(Summing):
    """Outputs that are wider with each run."""

    def run(self, names: Sequence[str], feeds: dict, options: None) -> list[np.ndarray]:
        (sums,) = super().run(names, feeds, options)
        return [np.repeat(sums, len(self.runs), axis=1)]


def test_rows_whose_outputs_do_not_fit_together_are_answered_with_an_error() -> None:
    sums = Sums(config(), 1, session=Wide)
    answers = sums(requests_of((3, 200), (1, 100)))
    assert str(answers[0]) == NOT_TOGETHER
    assert not isinstance(answers[1], Exception)


def test_what_does_not_get_in_is_refused_at_once_and_never_answered() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 1, session=Gated, limits=QueueLimits(requests=2)), {}
    refusals = sums.start(requests_of(*[(1, 400)] * 5), answers.__setitem__)
    Gated.gate.set()
    wait_until(lambda: len(answers) == refusals.count(None))
    refused = [number for number, refusal in enumerate(refusals) if refusal]
    assert len(refused) >= 2
    assert not answers.keys() & set(refused)


def test_a_request_whose_deadline_has_passed_is_answered_so_and_not_run() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 1, session=Gated), {}
    sums.start(requests_of((1, 400)), answers.__setitem__)
    wait_until(lambda: sums.runner._running == 1)
    sums.start(requests_of((1, 100)), lambda _, outcome: answers.setdefault("late", outcome), timeout=0.01)
    time.sleep(0.02)
    Gated.gate.set()
    wait_until(lambda: len(answers) == 2)
    assert isinstance(answers["late"], Expired)
    assert [lengths for _, lengths in sums.runs] == [[400]]


def test_a_request_whose_client_is_gone_is_not_run() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 1, session=Gated), {}
    sums.start(requests_of((1, 400)), answers.__setitem__)
    wait_until(lambda: sums.runner._running == 1)
    for name, gone in (("gone", True), ("there", False)):
        cancelled = partial(bool, gone)
        sums.start(requests_of((1, 100)), partial(_note, answers, name), is_cancelled=cancelled)
    time.sleep(2 * WORTH_ASKING)
    Gated.gate.set()
    wait_until(lambda: len(answers) == 3)
    assert isinstance(answers["gone"], Cancelled)
    assert sums.runs == [(1, [400]), (1, [100])]
    assert sums.runner.snapshot()[1].cancelled == 1


def _note(answers: dict, name: str, _: int, outcome: Outcome) -> None:
    answers[name] = outcome


def test_a_runner_that_stops_answers_what_waits_and_refuses_what_comes() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(), 2, session=Gated), {}
    sums.start(requests_of(*[(1, 400)] * 6), answers.__setitem__)
    stopping = threading.Thread(target=sums.runner.stop, args=(10.0,))
    stopping.start()
    wait_until(lambda: sums.runner._stopped)
    (refusal,) = sums.start(requests_of((1, 10)), answers.__setitem__)
    Gated.gate.set()
    stopping.join(10)
    assert (len(answers), str(refusal)) == (6, "the server is stopping")


def test_sessions_are_capped_and_share_the_threads() -> None:
    opened: list[int] = []
    Runner(parse_settings(config()), 8, lambda n: opened.append(n) or Summing(n), lanes=2)  # type: ignore[func-returns-value]
    assert opened == [8, 4, 4]


def test_whole_requests_share_a_run_only_with_their_like() -> None:
    Gated.gate.clear()
    sums, answers = Sums(config(ragged=False, size=4), 1, session=Gated), {}
    sums.start(requests_of((1, 400)), lambda *_: None)
    wait_until(lambda: sums.runner._running == 1)
    batch = requests_of((2, 20), (1, 30), (1, 20), (2, 20), (1, 20))
    sums.start(batch, answers.__setitem__)
    Gated.gate.set()
    wait_until(lambda: len(answers) == 5)
    assert [lengths for _, lengths in sums.runs[1:]] == [[20] * 3, [30], [20] * 3]
    for number, request in enumerate(batch):
        np.testing.assert_array_equal(answers[number]["sum"][:, 0], request["ids"].sum(axis=1))


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


class Shown:
    """A flag that keeps what it showed; the tokenizer has refused so many."""

    refused = 7

    def __init__(self) -> None:
        self.messages: list[tuple[float, str]] = []

    def show(self, until: float, message: str) -> None:
        self.messages.append((until - time.monotonic(), message))


@pytest.mark.usefixtures("long_memory")
def test_a_model_that_refuses_a_text_shows_its_flag_and_one_that_refuses_a_list_does_not() -> None:
    Gated.gate.clear()
    flag, limits = Shown(), QueueLimits(seconds=1.0)
    sums = Sums(config(), 2, session=Gated, limits=limits, busy_flag=flag)
    answers: list[Outcome] = []
    start = partial(sums.start, answer=lambda _, outcome: answers.append(outcome))
    lists = [refusal for _ in range(10) for refusal in start(requests_of((64, 400)))]
    assert lists[0] is None
    assert isinstance(lists[-1], Refused)
    assert flag.messages == []
    refused = [refusal for refusal in start(requests_of(*[(1, 250)] * 20)) if refusal]
    assert refused
    [(seconds, message)] = flag.messages
    assert message == str(refused[0])
    assert 0.05 < seconds < 1.0
    _, totals, _ = sums.runner.snapshot()
    assert totals.refused == {"time": len(lists) - lists.count(None) + len(refused) + 7}
    Gated.gate.set()
    wait_until(lambda: len(answers) == lists.count(None) + 20 - len(refused))
