"""What is on its way to the model server, and how long it will take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.problem import Problem

MEMORY_SECONDS = 10.0  # older answers count for less than half


class Backlog:
    """Counts the requests and texts at work, limits the requests, and measures the recent speed.

    seconds: how long the texts at work will take at that speed; 0 before any answer.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.requests = 0
        self.texts = 0
        self._clock = clock
        self._seen_at = clock()
        self._finished = 0.0
        self._busy = 0.0

    @property
    def seconds(self) -> float:
        """Expected seconds until all texts at work are answered."""
        self._pass_time()
        return self.texts * self._busy / self._finished if self._finished else 0.0

    @contextmanager
    def admit(self, texts: int) -> Iterator[None]:
        """Counts a request while it is at work. Raises Problem 503 where there are too many already."""
        self._pass_time()
        if self.requests >= self.limit:
            raise Problem(
                503,
                f"The server is busy: {self.requests} requests are at work; try again shortly.",
                kind="busy",
                retry_after=self.seconds,
            )
        self.requests += 1
        self.texts += texts
        try:
            yield
            self._pass_time()
            self._finished += texts
        finally:
            self.requests -= 1
            self.texts -= texts

    def _pass_time(self) -> None:
        now = self._clock()
        passed, self._seen_at = now - self._seen_at, now
        if not self.requests:
            return  # an idle server says nothing about its speed
        fade = 0.5 ** (passed / MEMORY_SECONDS)
        self._busy = self._busy * fade + passed
        self._finished *= fade
