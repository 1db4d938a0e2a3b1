"""How many texts a caller may send. Each caller has a token bucket that holds one minute's texts."""

import time
from collections.abc import Callable

from gateway.callers import Caller
from gateway.problem import Problem

FORGET_ABOVE = 10_000  # buckets; with more of them, those that are full are dropped


class RateLimiter:
    """A bucket for each caller, in this process only: behind a balancer each gateway grants the limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}  # when the caller's bucket is full again

    def take(self, caller: Caller, texts: int) -> None:
        """Uses up `texts` of the caller's share. Raises Problem 429, or 413 for more than a minute's."""
        if not caller.limit:
            return
        if texts > caller.limit:
            raise Problem(413, f"{texts} texts at once are more than this caller's {caller.limit} a minute.")
        now, seconds_each = self._clock(), 60.0 / caller.limit
        full_at = max(self._full_at.get(caller.share, now), now) + texts * seconds_each
        wait = full_at - now - 60.0
        if wait > 1e-9:
            raise Problem(
                429,
                f"This caller may send {caller.limit} texts a minute and has sent them.",
                retry_after=wait,
            )
        self._full_at[caller.share] = full_at
        if len(self._full_at) > FORGET_ABOVE:
            self._full_at = {share: full for share, full in self._full_at.items() if full > now}
