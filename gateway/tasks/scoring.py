"""Scores one chunk through the SDK, as background work, and waits while the server is busy or down."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clients import (
    AsyncSentimentClient,
    Limits,
    RequestTimeout,
    SentimentClient,
    SentimentError,
    ServerUnavailable,
)
from clients.pipeline import Outcome
from gateway.labels import Description, describe
from gateway.routes.classify import answer
from gateway.settings import Settings
from gateway.tasks.readers import Row

# One small request at a time: one or two reviews, or many short texts. An online request waits for no more
# than that. A background request that is alone on the server still gets all cores.
LIMITS = Limits(timeout=120.0, deadline=15.0, max_in_flight=1, batch_bytes=2048)
PAUSE_SECONDS = 1.0
TRIES = 5


class Interrupted(Exception):
    """The chunk was left because the worker stops or the task was cancelled."""


class Scorer:
    """The connection to one model, shared by the worker's threads."""

    def __init__(self, model: str, settings: Settings) -> None:
        self._model, self._settings = model, settings
        self._client = SentimentClient(settings.triton_url, "grpc", model, LIMITS, background=True)
        self._bucket = Bucket(settings.task_rate)
        self._description: Description | None = None

    def answers(self, rows: Sequence[Row], first: int, go_on: Callable[[], None]) -> list[dict[str, Any]]:
        """The answer objects of the rows, the first of which is text `first` of its task.

        Waits for a server that is busy or down until `go_on` raises. `go_on` is called before each try and
        after each outcome. Raises what it raises, and SentimentError after TRIES other failures in a row.
        """
        texts = [row for row in rows if isinstance(row, str)]
        outcomes = iter(self._patiently(texts, go_on))
        answers = []
        for index, row in enumerate(rows, start=first):
            if isinstance(row, str):
                assert self._description is not None
                answers.append(answer(index, next(outcomes), self._description.named))
            else:
                answers.append({"index": index, **row})
        return answers

    def _patiently(self, texts: list[str], go_on: Callable[[], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        failures = 0
        while len(outcomes) < len(texts) or self._description is None:
            go_on()
            try:
                for outcome in self._paced(texts[len(outcomes) :]):
                    outcomes.append(outcome)
                    failures = 0
                    go_on()
            except (ServerUnavailable, RequestTimeout):
                time.sleep(PAUSE_SECONDS)
            except SentimentError:
                failures += 1
                if failures == TRIES:
                    raise
                time.sleep(PAUSE_SECONDS)
        return outcomes

    def _paced(self, texts: list[str]) -> Iterator[Outcome]:
        if self._description is None:
            self._description = asyncio.run(self._describe())
        return self._client.outcomes(self._bucket.paced(texts) if self._settings.task_rate else texts)

    async def _describe(self) -> Description:
        async with AsyncSentimentClient(self._settings.triton_url, "grpc", self._model, LIMITS) as client:
            return describe(await client.model_config())


class Bucket:
    """A token bucket: `rate` texts a second over all threads, with one second's worth at once."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._free_at = clock()

    def paced(self, texts: Sequence[str]) -> Iterator[str]:
        """The texts, each when there is a token for it."""
        for text in texts:
            # Two threads may read the same moment. Then one text goes early, which does no harm.
            self._free_at = max(self._free_at, self._clock() - 1.0) + 1.0 / self._rate
            if (wait := self._free_at - self._clock()) > 0:
                self._sleep(wait)
            yield text
