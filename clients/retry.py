"""When to try again: exponential backoff with full jitter, within a deadline.

Full jitter (a uniform delay between nothing and the exponential bound) spreads clients that failed together
better than a fixed delay with noise: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
Every request may be repeated safely: classifying a text changes nothing on the server.
"""

import random
import time
from collections.abc import Callable

from clients.errors import SentimentError

FIRST_BOUND = 0.05
LAST_BOUND = 2.0


def backoff_bound(attempt: int) -> float:
    """The longest delay in seconds after failed attempt 0, 1, 2, ...: 0.05, 0.1, 0.2, ... 2.0."""
    return min(LAST_BOUND, FIRST_BOUND * 2.0 ** min(attempt, 16))


class Attempts:
    """The failed attempts at one request."""

    def __init__(
        self,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._give_up_at = clock() + deadline
        self._failed = 0

    def delay_after(self, error: SentimentError) -> float:
        """Seconds to wait before the next attempt.

        Raises the error itself when another attempt is of no use or would start after the deadline.
        """
        delay = self._uniform(0.0, backoff_bound(self._failed))
        self._failed += 1
        if not error.retryable or self._clock() + delay > self._give_up_at:
            raise error
        return delay
