"""The client for asyncio; the one for threads (client.py) drives this one."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from .batching import Batch
from .circuit import is_down
from .endpoint import Protocol, parse_endpoint
from .errors import InvalidText, SentimentError, ServerError, ServerUnavailable
from .failures import START_IT, translate
from .limits import Limits
from .pipeline import Outcome, Pipeline
from .request_options import RequestOptions
from .retry import Attempts
from .sentiment import Sentiment
from .session import Session
from .sources import Texts, check_list, open_windows
from .tensors import read_batch_size, read_labels
from .transport import OpenTransport, Transport, open_transport

T = TypeVar("T")
Call = Callable[[Transport], Awaitable[T]]
Running = dict[asyncio.Task[list[Outcome]], Batch]
Reading = asyncio.Task[list[str]]
READY_POLL = 0.2


class AsyncSentimentClient:
    """Classifies texts from asyncio. Any number of tasks of one event loop may share a client.

        async with AsyncSentimentClient("127.0.0.1:8001", protocol="grpc") as client:
            sentiments = await client.classify(texts)

    url: "host", "host:port" or "scheme://host:port"; https:// and grpcs:// speak TLS. Default: 127.0.0.1.
    model: the ensemble to ask. headers: sent with every request, for a proxy that wants a token.
    background: the server prefers the requests of others.
    only_loop: set it where no other event loop of this process speaks gRPC, as in an asyncio service. A gRPC
    request then takes less processor time.
    transport: opens the connections in place of the protocol's own.
    """

    def __init__(
        self,
        url: str | None = None,
        protocol: Protocol = "http",
        model: str = "sentiment",
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        background: bool = False,
        only_loop: bool = False,
        transport: OpenTransport | None = None,
    ) -> None:
        self.endpoint = parse_endpoint(url, protocol)
        self.model = model
        self.limits = limits or Limits()
        self.background = background
        pool = partial(open_transport, connections=self.limits.max_in_flight, only_loop=only_loop)
        self._open = transport or pool
        self._timeout = self.limits.timeout
        self._headers = dict(headers or {})
        self._batch_size = self.limits.batch_size
        self._session: Session | None = None
        self._closed = False

    async def classify(self, texts: Iterable[str], traceparent: str = "") -> list[Sentiment]:
        """One sentiment for each text, in the order of the texts. Several requests are sent at a time.

        traceparent: a W3C trace context. A server that traces adds its spans to it.
        Raises TypeError for anything that is not a list of str, InvalidText for a text that is refused (the
        first one), ServerUnavailable (or its child ServerBusy) when retries did not help, RequestTimeout,
        ModelNotFound, UnsuitableModel, or ServerError.
        """
        return [sentiment async for sentiment in self.stream(check_list(texts), traceparent)]

    async def classify_one(self, text: str, traceparent: str = "") -> Sentiment:
        """The sentiment of one text; raises what `classify` raises."""
        return (await self.classify([text], traceparent))[0]

    async def stream(self, texts: Texts, traceparent: str = "") -> AsyncGenerator[Sentiment, None]:
        """Like `classify`, for any number of texts: answers arrive in order, memory is bounded."""
        async with aclosing(self.outcomes(texts, traceparent=traceparent)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, InvalidText):
                    raise outcome
                yield outcome

    async def outcomes(
        self, texts: Texts, request_id: str = "", timeout: float | None = None, traceparent: str = ""
    ) -> AsyncGenerator[Outcome, None]:
        """Like `stream`, but a refused text gives its InvalidText in its place and ends nothing.

        request_id: of every request to Triton that this takes. timeout: in place of `Limits.timeout`.
        """
        async with aclosing(self.outcome_lists(texts, request_id, timeout, traceparent)) as lists:
            async for outcomes in lists:
                for outcome in outcomes:
                    yield outcome

    async def outcome_lists(
        self, texts: Texts, request_id: str = "", timeout: float | None = None, traceparent: str = ""
    ) -> AsyncGenerator[list[Outcome], None]:
        """Like `outcomes`, in lists of what is ready."""
        pipeline = await self.new_pipeline()
        windows = open_windows(texts, pipeline.window, self.limits.window_seconds)
        running: Running = {}
        reading: Reading | None = None
        try:
            while not pipeline.done:
                while (
                    len(running) < self.limits.max_in_flight and (batch := pipeline.next_batch()) is not None
                ):
                    answers = self.classify_batch(batch, request_id, timeout, traceparent)
                    running[asyncio.create_task(answers)] = batch
                if reading is None and pipeline.wants_texts and len(running) < self.limits.max_in_flight:
                    reading = asyncio.create_task(windows.next())
                waiting = [*running, *([reading] if reading else [])]
                if waiting:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if reading is not None and reading.done():
                    pipeline.add(reading.result())
                    reading = None
                for task in [task for task in running if task.done()]:
                    pipeline.finish(running.pop(task), task.result())
                if outcomes := list(pipeline.drain()):
                    yield outcomes
        finally:
            windows.close()
            await _drop([*running, *([reading] if reading else [])])

    async def new_pipeline(self) -> Pipeline:
        """An empty pipeline with this client's limits; asks the server for its batch size once."""
        if self._batch_size is None:
            self._batch_size = read_batch_size(await self.model_config())
        return Pipeline(self._batch_size, self.limits.batch_bytes, self.limits.window)

    async def connect(self) -> None:
        """Checks, without retries, that the server is there and the model fits. Calling it is optional."""
        config = await self._attempt(lambda pool: pool.model_config(self.model, self._timeout))
        self._batch_size = self.limits.batch_size or read_batch_size(config)

    async def model_config(self) -> Mapping[str, Any]:
        """The model's configuration in Triton's JSON form: its versions, tensors and parameters."""
        return await self._retrying(lambda pool: pool.model_config(self.model, self._timeout))

    async def labels(self) -> tuple[str, ...]:
        """The names of the model's labels, in the order of `probabilities` (regression: `values`)."""
        return read_labels(await self.model_config())

    async def classify_batch(
        self, batch: Batch, request_id: str = "", timeout: float | None = None, traceparent: str = ""
    ) -> list[Outcome]:
        """Sends one request. Where the server refuses it for one of its texts, only that text is lost.

        request_id: of the request to Triton, whose log and traces show it. timeout: in place of
        `Limits.timeout`; it travels with the request, so that the server drops what nobody waits for.
        """
        if not batch.texts:
            return []
        options = RequestOptions(timeout or self._timeout, request_id, self.background, traceparent)
        try:
            sent = self._retrying(lambda pool: pool.infer(self.model, batch.texts, options), options.timeout)
            return [*await sent]
        except InvalidText as error:
            row, refusal = error.index, error
        if row >= len(batch.texts):
            raise ServerError(f"{self.endpoint} refused text {row} of {len(batch.texts)}: {refusal.reason}")
        outcomes = await self.classify_batch(batch.without(row), request_id, timeout, traceparent)
        return [*outcomes[:row], InvalidText(refusal.reason, batch.indices[row]), *outcomes[row:]]

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
        session, self._session = self._session, None
        if session is not None and session.belongs_here():
            await session.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _retrying(self, call: Call[T], timeout: float | None = None) -> T:
        attempts = Attempts(self.limits.deadline)
        while True:
            try:
                async with self._here().place(attempts):
                    return await self._attempt(call, timeout)
            except SentimentError as error:
                delay = attempts.delay_after(error)
                # While the server is down, the circuit decides when the next request goes.
                if not is_down(error):
                    await asyncio.sleep(delay)

    async def _attempt(self, call: Call[T], timeout: float | None = None) -> T:
        transport, seconds = self._here().transport, timeout or self._timeout
        try:
            async with asyncio.timeout(seconds):
                return await call(transport)
        except Exception as error:
            raise translate(error, self.endpoint, self.model, seconds) from error

    def _here(self) -> Session:
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")
        if self._session is None or not self._session.belongs_here():
            self._session = Session(self.endpoint, self._headers, self.limits, self._open)
        return self._session


async def _drop(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
