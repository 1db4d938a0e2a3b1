"""How busy a model is: whether batches have met of late, and how long its runs took."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds. Triton hands over a batch that has been waiting within 0.1 to 0.3 ms. A lone client reads its
# answer first: its next request takes 0.45 ms and more (on the same machine, with a model of 2 layers).
WAITED = 0.00035
# For so many runs after batches have met they are expected to meet again.
MEMORY = 5


class Load:
    """Kept by a runner; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._left = self._met = float("-inf")
        self._duration = self._core_seconds = 0.0

    def arrive(self) -> None:
        """A batch begins: it meets another one that is under way, or it has been waiting for one."""
        with self._lock:
            now = time.monotonic()
            if self._running or now - self._left < WAITED:
                self._met = now

    def leave(self) -> None:
        """The backend is ready for the next batch."""
        with self._lock:
            self._left = time.monotonic()

    def is_light(self) -> bool:
        """Whether no batches have met for the time of MEMORY runs."""
        with self._lock:
            return time.monotonic() - self._met > MEMORY * self._duration

    @contextmanager
    def run(self, threads: int) -> Iterator[None]:
        """Around a run on so many threads."""
        with self._lock:
            began = time.monotonic()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._duration = time.monotonic() - began
                self._core_seconds += threads * self._duration

    def take_core_seconds(self) -> float:
        """Seconds times threads of the runs that ended since the last call."""
        with self._lock:
            taken, self._core_seconds = self._core_seconds, 0.0
        return taken
