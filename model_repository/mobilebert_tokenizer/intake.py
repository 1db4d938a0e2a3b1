"""What waits for the tokenizer, without Triton: a line with limits, and one thread that works on it.

With a limit, Triton's own queue now and then delays a lone client by half a second. So it has none: requests
are taken from it at once, and counted here.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
# So many are worked on together: one call of the tokenizer.
TOGETHER = 64
PAUSE_S = 0.5


class Busy(Exception):
    """A request that is not taken in. The message is for the client."""


class Intake(Generic[Job]):
    """`work` is called from one thread, with up to 64 jobs at a time; it must not raise.

    A job is refused when `requests` wait, or when it would make them more than `nbytes` together. When
    nothing waits, a job is always taken in.
    """

    def __init__(self, work: Callable[[Sequence[Job]], None], requests: int, nbytes: int) -> None:
        self._work, self._requests, self._limit = work, requests, nbytes
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Job, int]] = deque()
        self._nbytes = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def offer(self, job: Job, nbytes: int) -> None:
        """Take a job in. Raises Busy."""
        with self._changed:
            if self._stopping:
                raise Busy("the server is stopping")
            if self._waiting and (
                len(self._waiting) >= self._requests or self._nbytes + nbytes > self._limit
            ):
                raise Busy(
                    f"the server is busy: {len(self._waiting)} requests of {self._nbytes} bytes wait for the "
                    f"tokenizer, the limits are {self._requests} and {self._limit}; try again in {PAUSE_S} s"
                )
            self._waiting.append((job, nbytes))
            self._nbytes += nbytes
            self._changed.notify()

    def stop(self, seconds: float) -> None:
        """Refuse what comes, and finish what waits; what is left after so long is given up."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)

    def _serve(self) -> None:
        while jobs := self._next():
            self._work(jobs)

    def _next(self) -> list[Job]:
        """The jobs that came first; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            taken = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            self._nbytes -= sum(nbytes for _, nbytes in taken)
        return [job for job, _ in taken]
