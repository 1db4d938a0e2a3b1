"""The client for asyncio; the one for threads (client.py) drives this one."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from clients.batching import Batch
from clients.endpoint import Protocol, parse_endpoint
from clients.errors import InvalidText, SentimentError, ServerUnavailable
from clients.failures import START_IT, translate
from clients.limits import Limits
from clients.pipeline import Outcome, Pipeline
from clients.retry import Attempts
from clients.sentiment import Sentiment
from clients.sources import Source, check_list, next_texts
from clients.tensors import read_batch_size
from clients.transport import Transport, open_transport

T = TypeVar("T")
Running = dict[asyncio.Task[list[Outcome]], Batch]
READY_POLL = 0.2


class AsyncSentimentClient:
    """Classifies texts from asyncio; any number of tasks of one event loop may share it.

        async with AsyncSentimentClient("127.0.0.1:8001", protocol="grpc") as client:
            sentiments = await client.classify(texts)

    url: "host", "host:port" or "scheme://host:port"; https:// and grpcs:// speak TLS. Default: 127.0.0.1.
    model: the ensemble to ask. headers: sent with every request, for a proxy that wants a token.
    """

    def __init__(
        self,
        url: str | None = None,
        protocol: Protocol = "http",
        model: str = "sentiment",
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = parse_endpoint(url, protocol)
        self.model = model
        self.limits = limits or Limits()
        self._timeout = self.limits.timeout
        self._headers = dict(headers or {})
        self._in_flight = asyncio.Semaphore(self.limits.max_in_flight)
        self._batch_size = self.limits.batch_size
        self._transport: Transport | None = None
        self._closed = False

    async def classify(self, texts: Iterable[str]) -> list[Sentiment]:
        """One sentiment a text, in the order of the texts; they travel in parallel batches.

        Raises TypeError for anything that is not a list of str, InvalidText for a text that is refused (the
        first one), ServerUnavailable (or its child ServerBusy) when retries did not help, RequestTimeout,
        ModelNotFound, UnsuitableModel, or ServerError.
        """
        return [sentiment async for sentiment in self.stream(check_list(texts))]

    async def classify_one(self, text: str) -> Sentiment:
        """The sentiment of one text; raises what `classify` raises."""
        return (await self.classify([text]))[0]

    async def stream(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[Sentiment]:
        """Like `classify`, for any number of texts: answers arrive in order, memory is bounded."""
        async for outcome in self.outcomes(texts):
            if isinstance(outcome, InvalidText):
                raise outcome
            yield outcome

    async def outcomes(
        self, texts: Iterable[str] | AsyncIterable[str], request_id: str = ""
    ) -> AsyncIterator[Outcome]:
        """Like `stream`, but a refused text gives its InvalidText in its place and ends nothing.

        request_id: of every request to Triton that this takes.
        """
        pipeline = await self.new_pipeline()
        source = aiter(texts) if isinstance(texts, AsyncIterable) else iter(texts)
        running: Running = {}
        try:
            while not pipeline.done:
                await self._send(pipeline, source, running, request_id)
                if running:
                    finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in finished:
                        pipeline.finish(running.pop(task), task.result())
                for outcome in pipeline.drain():
                    yield outcome
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def new_pipeline(self) -> Pipeline:
        """An empty pipeline with this client's limits; asks the server for its batch size once."""
        if self._batch_size is None:
            self._batch_size = read_batch_size(await self.model_config())
        return Pipeline(self._batch_size, self.limits.batch_bytes, self.limits.window)

    async def connect(self) -> None:
        """Checks, without retries, that the server is there and the model fits; no need to call it."""
        config = await self._attempt(lambda pool: pool.model_config(self.model, self._timeout))
        self._batch_size = self.limits.batch_size or read_batch_size(config)

    async def model_config(self) -> Mapping[str, Any]:
        """The model's configuration in Triton's JSON form: its versions, tensors and parameters."""
        return await self._retrying(lambda pool: pool.model_config(self.model, self._timeout))

    async def classify_batch(self, batch: Batch, request_id: str = "") -> list[Outcome]:
        """Sends one request. Where the server refuses it for one of its texts, only that text is lost.

        request_id: of the request to Triton, whose log and traces show it.
        """
        try:
            return [
                *await self._retrying(
                    lambda pool: pool.infer(self.model, batch.texts, self._timeout, request_id)
                )
            ]
        except InvalidText as refusal:
            if len(batch.texts) == 1:
                return [InvalidText(refusal.reason, batch.indices[0])]
        first, second = batch.halves()
        return await self.classify_batch(first, request_id) + await self.classify_batch(second, request_id)

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Returns once the model can answer; raises ServerUnavailable when it can't in `timeout` seconds."""
        give_up_at = time.monotonic() + timeout
        while not await self.is_ready():
            if time.monotonic() > give_up_at:
                raise ServerUnavailable(f"no ready {self.model!r} at {self.endpoint}; {START_IT}")
            await asyncio.sleep(READY_POLL)

    async def is_ready(self) -> bool:
        """Whether the server answers and the model is loaded; never raises for a server that is down."""
        try:
            return await self._attempt(lambda pool: pool.is_ready(self.model, self._timeout))
        except SentimentError:
            return False

    async def close(self) -> None:
        """Closes the connections; further calls raise RuntimeError."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, pipeline: Pipeline, source: Source, running: Running, request_id: str) -> None:
        while len(running) < self.limits.max_in_flight:
            if pipeline.wants_texts:
                pipeline.add(await next_texts(source, pipeline.window))
            if (batch := pipeline.next_batch()) is None:
                return
            running[asyncio.create_task(self.classify_batch(batch, request_id))] = batch

    async def _retrying(self, call: Callable[[Transport], Awaitable[T]]) -> T:
        async with self._in_flight:
            attempts = Attempts(self.limits.deadline)
            while True:
                try:
                    return await self._attempt(call)
                except SentimentError as error:
                    await asyncio.sleep(attempts.delay_after(error))

    async def _attempt(self, call: Callable[[Transport], Awaitable[T]]) -> T:
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")
        if self._transport is None:
            self._transport = open_transport(self.endpoint, self._headers, self.limits.max_in_flight)
        try:
            async with asyncio.timeout(self._timeout):
                return await call(self._transport)
        except Exception as error:
            raise translate(error, self.endpoint, self.model, self._timeout) from error
