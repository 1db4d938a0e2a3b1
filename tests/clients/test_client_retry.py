import pytest

from clients.errors import InvalidText, ServerBusy, ServerUnavailable
from clients.retry import LAST_BOUND, Attempts, backoff_bound


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bound_doubles_up_to_its_limit():
    bounds = [backoff_bound(attempt) for attempt in range(12)]
    assert bounds[:4] == pytest.approx([0.05, 0.1, 0.2, 0.4])
    assert bounds[-1] == LAST_BOUND
    assert backoff_bound(10_000) == LAST_BOUND


def test_delay_is_drawn_between_nothing_and_the_bound():
    drawn: list[tuple[float, float]] = []
    attempts = Attempts(60.0, Clock(), lambda low, high: drawn.append((low, high)) or 0.0)
    for _ in range(3):
        attempts.delay_after(ServerBusy("full"))
    assert drawn == [(0.0, pytest.approx(0.05)), (0.0, pytest.approx(0.1)), (0.0, pytest.approx(0.2))]


def test_delays_of_two_clients_differ():
    first, second = ([Attempts(60.0).delay_after(ServerBusy("full")) for _ in range(5)] for _ in range(2))
    assert first != second


def test_error_that_repetition_cannot_help_is_raised_at_once():
    refusal = InvalidText("too long")
    with pytest.raises(InvalidText) as caught:
        Attempts(60.0).delay_after(refusal)
    assert caught.value is refusal


def test_no_attempt_starts_after_the_deadline():
    clock = Clock()
    attempts = Attempts(10.0, clock, lambda low, high: high)
    clock.now += 9.0
    assert attempts.delay_after(ServerUnavailable("down")) == pytest.approx(0.05)
    clock.now += 0.95
    with pytest.raises(ServerUnavailable):
        attempts.delay_after(ServerUnavailable("down"))


def test_busy_server_is_left_alone_for_as_long_as_it_asks():
    attempts = Attempts(60.0, Clock(), lambda low, high: high)
    assert attempts.delay_after(ServerBusy("full", retry_after=3.0)) == pytest.approx(3.05)


def test_server_that_asks_for_more_than_the_deadline_is_given_up_at_once():
    attempts = Attempts(2.0, Clock(), lambda low, high: low)
    with pytest.raises(ServerBusy):
        attempts.delay_after(ServerBusy("full", retry_after=3.0))


def test_time_left_counts_from_the_call():
    clock = Clock()
    attempts = Attempts(10.0, clock)
    clock.now += 4.0
    assert attempts.seconds_left() == pytest.approx(6.0)
    clock.now += 60.0
    assert attempts.seconds_left() == 0.0


def test_a_deadline_of_zero_allows_one_attempt():
    attempts = Attempts(0.0, Clock(), lambda low, high: high)
    assert not attempts.may_repeat
    with pytest.raises(ServerBusy):
        attempts.delay_after(ServerBusy("full"))
