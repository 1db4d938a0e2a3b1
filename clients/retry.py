"""When to try again: exponential backoff with full jitter, within a deadline that starts with the request.

Full jitter (a uniform delay between nothing and the exponential bound) spreads clients that failed together
better than a fixed delay with noise: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
Every request may be repeated safely: classifying a text changes nothing on the server.

Why no library: tenacity has the jitter, but not the rest. Here the deadline includes the wait before the
first attempt, a server may ask for a longer wait (Retry-After), and requests to a dead server share one
back-off (`circuit`).
"""

import random
import time
from collections.abc import Callable

from .errors import SentimentError, ServerBusy

FIRST_BOUND = 0.05
LAST_BOUND = 2.0


def backoff_bound(attempt: int) -> float:
    """The longest delay in seconds after failed attempt 0, 1, 2, ...: 0.05, 0.1, 0.2, ... 2.0."""
    return min(LAST_BOUND, FIRST_BOUND * 2.0 ** min(attempt, 16))


class Attempts:
    """The attempts at one request. may_repeat: False where the deadline is 0, which allows only one."""

    def __init__(
        self,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.may_repeat = deadline > 0
        self._clock = clock
        self._uniform = uniform
        self._give_up_at = clock() + deadline
        self._failed = 0

    def seconds_left(self) -> float:
        """Until the deadline, 0 after it."""
        return max(0.0, self._give_up_at - self._clock())

    def delay_after(self, error: SentimentError) -> float:
        """Seconds to wait before the next attempt; after a ServerBusy at least what the server asks for.

        Raises the error itself when another attempt is of no use or would start after the deadline.
        """
        delay = self._uniform(0.0, backoff_bound(self._failed))
        if isinstance(error, ServerBusy):
            delay += error.retry_after or 0.0
        self._failed += 1
        if not error.retryable or self._clock() + delay > self._give_up_at:
            raise error
        return delay
