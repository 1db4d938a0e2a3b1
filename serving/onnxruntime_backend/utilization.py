"""How busy a model is: whether requests have met lately, and how long its runs took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

# After requests have met, they are expected to meet again for the time of so many runs, and for so many
# seconds at least. A run of a sentence takes half a millisecond, and several clients pause for longer than
# five of them. A sentence that is taken for a lone one gets all threads, which wait for each other by
# spinning: with 16 clients half of the runs were such, and a quarter of the processor time was spinning.
MEMORY, MEMORY_S = 5, 0.05


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
        """Whether no requests have met for the time of MEMORY runs, and for MEMORY_S."""
        return self._clock() - self._met > max(MEMORY * self._duration, MEMORY_S)

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
