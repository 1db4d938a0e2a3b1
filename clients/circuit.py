"""A back-off that all requests of a client share while the server is dead.

One request at a time tries the server, after a delay that grows; the others wait for its result. So a server
that is down gets one attempt every second or two instead of one from every caller. A request that waits takes
no place among the requests in flight. https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .errors import RequestTimeout, SentimentError, ServerBusy, ServerUnavailable
from .retry import backoff_bound


class Circuit:
    """Belongs to one event loop. error: why the server is thought to be down; None while it answers."""

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.error: SentimentError | None = None
        self._uniform = uniform
        self._failed_trials = 0
        self._trial: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Lets a request go: at once while the server answers, otherwise as the one trial, or after a trial
        that went well. What the request raises tells how the server is."""
        trial = await self._wait()
        try:
            yield
            self._note(None)
        except SentimentError as error:
            self._note(error)
            raise
        finally:
            if trial is not None:
                self._end(trial)

    async def _wait(self) -> asyncio.Future[None] | None:
        while self.error is not None:
            if self._trial is not None:
                await asyncio.shield(self._trial)
                continue
            self._trial = trial = asyncio.get_running_loop().create_future()
            try:
                await asyncio.sleep(self._uniform(0.0, backoff_bound(self._failed_trials)))
            except asyncio.CancelledError:
                self._end(trial)
                raise
            self._failed_trials += 1
            return trial
        return None

    def _end(self, trial: asyncio.Future[None]) -> None:
        trial.set_result(None)
        self._trial = None

    def _note(self, error: SentimentError | None) -> None:
        if isinstance(error, RequestTimeout):
            return  # It tells nothing: the server may be slow, or hang.
        if error is not None and is_down(error):
            self.error = error
        else:
            self.error = None
            self._failed_trials = 0


def is_down(error: SentimentError) -> bool:
    """Whether the error means that the server is down. A refusal for overload does not: that is an answer."""
    return isinstance(error, ServerUnavailable) and error.retryable and not isinstance(error, ServerBusy)
