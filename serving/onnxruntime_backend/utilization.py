"""How busy a model is: whether requests have met lately, and how long its runs took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

# After requests have met, they are expected to meet again for the time of so many runs.
MEMORY = 5


class Utilization:
    """Kept by a runner; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._met = float("-inf")
        self._duration = self._core_seconds = 0.0

    def meet(self) -> None:
        """A request came while another one waited or ran."""
        self._met = self._clock()

    def is_light(self) -> bool:
        """Whether no requests have met for the time of MEMORY runs."""
        return self._clock() - self._met > MEMORY * self._duration

    @contextmanager
    def run(self, threads: int) -> Iterator[None]:
        """Measure a run on so many threads."""
        began = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._duration = self._clock() - began
                self._core_seconds += threads * self._duration

    def take_core_seconds(self) -> float:
        """Seconds times threads of the runs that ended since the last call."""
        with self._lock:
            taken, self._core_seconds = self._core_seconds, 0.0
        return taken
