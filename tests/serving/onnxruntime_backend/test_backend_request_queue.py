"""The queue's rules, by simulation with a clock that only the test moves."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.onnxruntime_backend.limits import QueueLimits
from serving.onnxruntime_backend.plan import LARGEST
from serving.onnxruntime_backend.rate import FIRST_GUESS, Rate
from serving.onnxruntime_backend.request_queue import PACE, ROOM, Refused
from tests.serving.onnxruntime_backend.queue_simulation import SPEED, Simulation, Story, ticket

RUN = LARGEST / SPEED * 2  # seconds of the longest run on one of two cores
LONG_LIST = (512,) * 64  # 3.3 s of all cores

sizes = st.lists(st.integers(1, 512), min_size=1, max_size=64)
arrivals = st.lists(st.tuples(st.floats(0, 0.3), sizes, st.booleans()), min_size=1, max_size=60)


def play(coming: list[tuple[float, list[int], bool]], cores: int = 2) -> list[Story]:
    simulation = Simulation(cores)
    for pause, rows, background in coming:
        simulation.until(simulation.now + pause)
        simulation.arrive(ticket(*rows, background=background))
    return simulation.finish()


@settings(max_examples=60, deadline=None)
@given(arrivals, st.integers(1, 4))
def test_every_row_of_what_is_accepted_runs_once_and_nothing_of_what_is_refused(coming, cores) -> None:  # type: ignore[no-untyped-def]
    for story in play(coming, cores):
        expected = [] if story.refusal else list(range(len(story.ticket.sizes)))
        assert sorted(story.done) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.05), sizes), min_size=1, max_size=80))
def test_what_is_accepted_starts_within_the_limit_and_a_list_keeps_its_pace(coming) -> None:  # type: ignore[no-untyped-def]
    limit, slack = QueueLimits().seconds, 2 * RUN
    for story in play([(pause, rows, False) for pause, rows in coming]):
        if not story.refusal:
            assert story.wait <= limit + slack
            assert story.time <= limit + slack + story.ticket.tokens / (PACE * SPEED) + RUN


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(20, 512), min_size=100, max_size=200), st.floats(1.5, 8))
def test_an_overload_of_single_texts_keeps_the_backlog_at_the_limit_and_the_cores_busy(texts, factor) -> None:  # type: ignore[no-untyped-def]
    simulation = Simulation()
    for tokens in texts * 2:
        simulation.until(simulation.now + tokens / SPEED / factor)
        simulation.arrive(ticket(tokens))
        assert simulation.queue.waiting().tokens / SPEED <= QueueLimits().seconds + RUN
    stories = simulation.finish()
    accepted = [story for story in stories if not story.refusal]
    assert all(story.wait <= QueueLimits().seconds + RUN for story in accepted)
    worked = sum(story.ticket.tokens for story in accepted) / SPEED
    assert worked >= simulation.now - 2 * RUN - texts[0] / SPEED


def test_single_texts_are_run_in_the_order_of_their_arrival() -> None:
    stories = play([(0.001, [tokens], False) for tokens in (500, 20, 400, 3, 512, 100) * 5])
    starts = [story.started for story in stories]
    assert starts == sorted(starts)


def test_a_short_text_does_not_wait_behind_a_list_of_long_ones() -> None:
    simulation = Simulation()
    simulation.arrive(ticket(*LONG_LIST))
    simulation.until(0.2)
    simulation.arrive(ticket(10))
    long, short = simulation.finish()
    assert short.wait <= 2 * RUN
    assert long.time == pytest.approx(64 * 512 / SPEED, abs=2 * RUN)


def test_a_list_is_done_in_time_while_single_texts_keep_coming() -> None:
    """Nobody starves: at twice the capacity the list still gets its quarter."""
    simulation = Simulation()
    simulation.arrive(ticket(*LONG_LIST))
    while simulation.now < 20:
        simulation.until(simulation.now + 250 / SPEED / 2)
        simulation.arrive(ticket(250))
    list_story, *singles = simulation.finish()
    alone = 64 * 512 / SPEED
    assert list_story.time <= alone / PACE + QueueLimits().seconds + 2 * RUN
    assert sum(not story.refusal for story in singles) * 250 / SPEED >= 20 - alone - 1


def test_lists_that_keep_coming_leave_room_for_single_texts() -> None:
    simulation, generator = Simulation(), random.Random(0)
    singles = []
    while simulation.now < 30:
        simulation.until(simulation.now + generator.expovariate(0.3 * SPEED / 250))
        singles.append(ticket(250))
        simulation.arrive(singles[-1], *(ticket(*LONG_LIST) for _ in range(2)))
    simulation.finish()
    refused = sum(simulation.stories[each].refusal is not None for each in singles)
    assert refused <= 0.01 * len(singles)


def test_lists_that_came_together_share_the_server_by_tokens() -> None:
    """A list of half the tokens is done when both have had as much: at two thirds of the time."""
    simulation = Simulation()
    simulation.arrive(ticket(*[256] * 32), ticket(*[256] * 16))
    long, short = simulation.finish()
    assert short.time == pytest.approx(long.time * 2 / 3, rel=0.1)


@pytest.mark.parametrize(("load", "share"), [(2.0, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_background_work_gets_its_share_or_what_others_leave(load: float, share: float) -> None:
    simulation, background, time = Simulation(), [], 0.0
    for step in range(3000):
        time = step * 0.002
        simulation.until(time)
        background.append(ticket(100, background=True))
        simulation.arrive(background[-1])
        if load and step % round(250 / SPEED / load / 0.002) == 0:
            simulation.arrive(ticket(250))
    done = sum(simulation.stories[each].ended is not None for each in background) * 100 / SPEED
    assert done == pytest.approx(share * time, rel=0.25)


def test_background_work_delays_a_text_by_its_share_only() -> None:
    simulation = Simulation()
    simulation.arrive(*(ticket(400, background=True) for _ in range(40)))
    simulation.until(0.5)
    simulation.arrive(ticket(300))
    assert simulation.finish()[-1].wait <= 2 * RUN


def test_a_refusal_says_how_much_waits_and_when_to_come_back() -> None:
    simulation = Simulation()
    simulation.arrive(*(ticket(500) for _ in range(60)))
    refusal = simulation.finish()[-1].refusal
    assert refusal is not None
    assert refusal.reason == "time"
    assert str(refusal) == (
        "the server is busy: about 2.1 s of work wait, the limit is 2.0 s; try again in 0.5 s"
    )
    assert simulation.queue.totals.refused["time"] == 60 - 31  # 30 are 2 s of work at 3/4 of the speed


def test_a_text_with_a_short_deadline_is_refused_rather_than_kept_until_it_expires() -> None:
    simulation = Simulation()
    simulation.arrive(*(ticket(500) for _ in range(30)), ticket(10, timeout=0.5))
    assert "the limit is 0.5 s" in str(simulation.finish()[-1].refusal)


def test_a_request_always_gets_in_when_nothing_waits() -> None:
    simulation = Simulation(limits=QueueLimits(seconds=0.001, requests=1, nbytes=1))
    simulation.arrive(ticket(*LONG_LIST))
    assert simulation.finish()[0].refusal is None


@pytest.mark.parametrize(
    ("limits", "reason", "what"),
    [
        (QueueLimits(requests=5), "requests", "5 requests wait, the limit is 5; try again in 0.5 s"),
        (QueueLimits(nbytes=500), "bytes", "500 bytes wait, the limit is 500; try again in 0.5 s"),
    ],
)
def test_count_and_bytes_are_limits_too(limits: QueueLimits, reason: str, what: str) -> None:
    simulation = Simulation(limits=limits)
    simulation.arrive(*(ticket(400, nbytes=100) for _ in range(10)))
    refusals = [story.refusal for story in simulation.finish() if story.refusal]
    assert len(refusals) == 10 - 5
    assert refusals[0].reason == reason
    assert what in str(refusals[0])
    assert simulation.queue.waiting().nbytes == 0


def test_before_a_run_is_measured_little_is_accepted() -> None:
    simulation = Simulation(cores=4, measured=False)
    simulation.arrive(*(ticket(500) for _ in range(100)))
    waiting = simulation.queue.waiting().tokens
    assert waiting <= 4 * FIRST_GUESS * QueueLimits().seconds
    simulation.until(1.0)
    simulation.arrive(*(ticket(500) for _ in range(100)))
    assert simulation.queue.waiting().tokens > waiting


def test_a_passed_deadline_takes_a_request_out_of_the_queue() -> None:
    simulation = Simulation()
    late, soon = ticket(400, timeout=0.3), ticket(400)
    simulation.arrive(ticket(500), ticket(500))
    simulation.arrive(late, soon)
    assert simulation.queue.expire() == []
    simulation.now = 0.31
    assert simulation.queue.expire() == [late]
    assert simulation.queue.totals.expired == 1
    simulation.finish()
    assert simulation.stories[soon].ended is not None
    assert simulation.stories[late].ended is None
    assert not simulation.queue


def test_a_request_that_names_no_deadline_has_the_default_one() -> None:
    simulation = Simulation(limits=QueueLimits(timeout=7))
    simulation.arrive(*(ticket(500) for _ in range(3)))
    simulation.now = 7.0
    assert len(simulation.queue.expire()) == 1  # two of them run


def test_a_cancelled_request_leaves_nothing_behind() -> None:
    simulation = Simulation()
    gone = ticket(*LONG_LIST)
    simulation.arrive(gone, ticket(400))
    simulation.queue.cancel(gone)
    assert simulation.finish()[1].ended is not None
    assert (simulation.queue.totals.cancelled, simulation.queue.waiting().tokens) == (1, 0)


def test_a_queue_that_stops_refuses_what_comes_and_keeps_what_waits() -> None:
    simulation = Simulation()
    simulation.arrive(*(ticket(500) for _ in range(5)))
    simulation.queue.stop()
    simulation.arrive(ticket(5))
    *waiting, last = simulation.finish()
    assert str(last.refusal) == "the server is stopping"
    assert all(story.ended is not None for story in waiting)


def test_the_age_of_the_oldest_is_that_of_the_first_that_still_waits() -> None:
    simulation = Simulation(cores=1)
    simulation.arrive(ticket(512))
    simulation.until(0.01)
    simulation.arrive(ticket(512))
    simulation.until(0.03)
    waiting = simulation.queue.waiting()
    assert (waiting.requests, waiting.tokens) == (1, 512)
    assert waiting.oldest == pytest.approx(0.02)


def test_the_rate_follows_the_runs_and_forgets_the_old_ones() -> None:
    rate = Rate(cores=2)
    assert rate.tokens_per_second == 2 * FIRST_GUESS
    rate.record(100, 0.01)
    assert rate.tokens_per_second == pytest.approx(20_000)
    for _ in range(100):
        rate.record(100, 0.1)
    assert rate.tokens_per_second == pytest.approx(2_000, rel=0.01)


def test_inputs_are_copied_when_a_request_is_accepted() -> None:
    """Triton uses their memory again."""
    simulation, given_ids = Simulation(), np.arange(8)
    waiting = ticket(8)
    waiting.inputs = {"ids": given_ids}
    simulation.arrive(waiting)
    given_ids[:] = 0
    np.testing.assert_array_equal(waiting.inputs["ids"], np.arange(8))


def test_a_refused_request_is_not_copied() -> None:
    simulation = Simulation(limits=QueueLimits(requests=1))
    refused = ticket(400)
    ids = refused.inputs["ids"]
    simulation.arrive(*(ticket(400) for _ in range(3)), refused)
    assert isinstance(simulation.finish()[-1].refusal, Refused)
    assert refused.inputs["ids"] is ids


def overloaded(*sizes: int) -> Simulation:
    """A queue that has just refused a request of these rows, the last of many."""
    simulation = Simulation()
    while not any(story.refusal for story in simulation.stories.values()):
        simulation.arrive(ticket(*sizes))
    return simulation


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 400))
def test_a_queue_that_is_full_has_room_after_the_time_that_it_names(tokens: int) -> None:
    simulation = overloaded(tokens)
    while not simulation.queue.full_for():  # a shorter text may still fit
        simulation.arrive(ticket(1))
    seconds = simulation.queue.full_for()
    assert ROOM * QueueLimits().seconds <= seconds <= QueueLimits().seconds
    simulation.until(simulation.now + seconds / 2)
    half = simulation.queue.waiting().tokens
    simulation.until(simulation.now + seconds / 2)
    assert 0 < simulation.queue.waiting().tokens < half, "the cores had work all the time"
    assert simulation.queue.full_for() == 0
    late = ticket(tokens)
    simulation.arrive(late)
    assert simulation.stories[late].refusal is None


def test_a_queue_is_not_full_because_a_list_or_background_work_is_refused() -> None:
    simulation = overloaded(*LONG_LIST)
    assert simulation.queue.full_for() == 0
    text = ticket(300)
    simulation.arrive(text)
    assert simulation.stories[text].refusal is None
    simulation = Simulation()
    while not any(story.refusal for story in simulation.stories.values()):
        simulation.arrive(ticket(512, background=True))
    assert simulation.queue.full_for() == 0
    assert Simulation().queue.full_for() == 0
