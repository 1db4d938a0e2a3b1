"""The client for ordinary, threaded code."""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from types import TracebackType
from typing import Self

from clients import background_loop
from clients.async_client import AsyncSentimentClient
from clients.batching import Batch
from clients.endpoint import Protocol
from clients.errors import InvalidText
from clients.limits import Limits
from clients.pipeline import Outcome, Pipeline
from clients.sentiment import Sentiment
from clients.sources import check_list

Running = dict[Future[list[Outcome]], Batch]


class SentimentClient:
    """Classifies texts; any number of threads may share it. Arguments as for AsyncSentimentClient.

        with SentimentClient("127.0.0.1:8000") as client:
            sentiments = client.classify(["Great film", "Bad"])

    tritonclient's own HTTP client belongs to one thread. Here every request runs on one background event
    loop, so threads share the connections, `Limits.max_in_flight` holds for all of them together, and Ctrl-C
    drops what is on its way at once.
    """

    def __init__(
        self,
        url: str | None = None,
        protocol: Protocol = "http",
        model: str = "sentiment",
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = AsyncSentimentClient(url, protocol, model, limits, headers)
        # A client that is dropped without close() must not leave its connections open.
        weakref.finalize(self, background_loop.close_later, self._client.close)

    def classify(self, texts: Iterable[str]) -> list[Sentiment]:
        """One sentiment a text, in the order of the texts; they travel in parallel batches.

        Raises TypeError for anything that is not a list of str, InvalidText for a text that is refused (the
        first one), ServerUnavailable (or its child ServerBusy) when retries did not help, RequestTimeout,
        ModelNotFound, UnsuitableModel, or ServerError.
        """
        return list(self.stream(check_list(texts)))

    def classify_one(self, text: str) -> Sentiment:
        """The sentiment of one text; raises what `classify` raises."""
        return self.classify([text])[0]

    def stream(self, texts: Iterable[str]) -> Iterator[Sentiment]:
        """Like `classify`, for any number of texts: answers arrive in order, memory is bounded."""
        for outcome in self.outcomes(texts):
            if isinstance(outcome, InvalidText):
                raise outcome
            yield outcome

    def outcomes(self, texts: Iterable[str]) -> Iterator[Outcome]:
        """Like `stream`, but a refused text gives its InvalidText in its place and ends nothing."""
        pipeline = background_loop.run(self._client.new_pipeline())
        source = iter(texts)
        running: Running = {}
        try:
            while not pipeline.done:
                self._send(pipeline, source, running)
                if running:
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        pipeline.finish(running.pop(future), future.result())
                yield from pipeline.drain()
        finally:
            for future in running:
                future.cancel()

    def connect(self) -> None:
        """Checks, without retries, that the server is there and the model fits; no need to call it."""
        background_loop.run(self._client.connect())

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Returns once the model can answer; raises ServerUnavailable when it can't in `timeout` seconds."""
        background_loop.run(self._client.wait_until_ready(timeout))

    def is_ready(self) -> bool:
        """Whether the server answers and the model is loaded; never raises for a server that is down."""
        return background_loop.run(self._client.is_ready())

    def close(self) -> None:
        """Closes the connections; further calls raise RuntimeError."""
        background_loop.run(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, pipeline: Pipeline, source: Iterator[str], running: Running) -> None:
        while len(running) < self._client.limits.max_in_flight:
            if pipeline.wants_texts:
                pipeline.add(list(islice(source, pipeline.window)))
            if (batch := pipeline.next_batch()) is None:
                return
            running[background_loop.submit(self._client.classify_batch(batch))] = batch
