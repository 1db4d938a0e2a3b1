"""Calls of the REST gateway, with retries."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from . import background_loop
from .errors import SentimentError, ServerBusy, ServerError, ServerUnavailable
from .limits import Limits
from .retry import Attempts
from .retry_after import read_retry_after
from .uploads import Upload

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8080"
LINE_BYTES = 1 << 22
BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


class GatewayHttp:
    """One gateway, synchronous, on the background loop; each call opens its own connection."""

    def __init__(self, url: str | None, api_key: str | None, limits: Limits) -> None:
        url = url or DEFAULT_URL
        self._url = (url if "://" in url else f"http://{url}").rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._limits = limits

    def json(self, method: str, path: str) -> Any:
        """The JSON value of an answer, None of an empty one."""
        return background_loop.run(self._retrying(lambda: self._json(method, path)))

    def upload(self, path: str, upload: Upload, query: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """POSTs a body of any size. A body that can be read only once is not sent again."""

        def send() -> Awaitable[Any]:
            given = {"Content-Type": upload.media_type, **headers}
            named = {name: value for name, value in query.items() if value is not None}
            return self._json("POST", path, params=named, headers=given, data=upload.open(), timeout=None)

        deadline = None if upload.repeatable else 0.0
        return background_loop.run(self._retrying(send, deadline))

    def lines(self, path: str, after: int) -> Iterator[Any]:
        """The JSON lines of results. If the connection breaks, reading goes on after the last line."""
        attempts = Attempts(self._limits.deadline)
        while True:
            lists = self._line_lists(path, after)
            try:
                while (values := background_loop.next_of(lists)) is not None:
                    attempts = Attempts(self._limits.deadline)
                    for value in values:
                        after = value["index"]
                        yield value
                return
            except SentimentError as error:
                background_loop.run(asyncio.sleep(attempts.delay_after(error)))
            finally:
                background_loop.close_generator(lists)

    async def _line_lists(self, path: str, after: int) -> AsyncGenerator[list[Any], None]:
        async with self._answer("GET", path, params={"after": after}) as answer:
            rest = b""
            async for piece in answer.content.iter_any():
                *whole, rest = (rest + piece).split(b"\n")
                if whole:
                    yield [json.loads(line) for line in whole]

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        async with self._answer(method, path, **options) as answer:
            body = await answer.read()
            return json.loads(body) if body else None

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, timeout: float | None = -1.0, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        seconds = self._limits.timeout if timeout == -1.0 else timeout
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.timeout, sock_read=seconds)
        headers = {**self._headers, **options.pop("headers", {})}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.request(method, self._url + path, headers=headers, **options) as answer,
            ):
                if answer.status >= 400:
                    raise await self._error(answer)
                yield answer
        except BROKEN as error:
            raise ServerUnavailable(
                f"no answer from the gateway at {self._url} ({error}); is it running?"
            ) from error

    async def _retrying(self, call: Callable[[], Awaitable[T]], deadline: float | None = None) -> T:
        attempts = Attempts(self._limits.deadline if deadline is None else deadline)
        while True:
            try:
                return await call()
            except SentimentError as error:
                await asyncio.sleep(attempts.delay_after(error))

    async def _error(self, answer: aiohttp.ClientResponse) -> SentimentError:
        detail = await _detail(answer)
        if answer.status in (429, 503, 507):
            seconds = read_retry_after(answer.headers.get("Retry-After"))
            return ServerBusy(f"{self._url} refused it for now: {detail}", seconds)
        return ServerError(f"{self._url} refused it (status {answer.status}): {detail}")


async def _detail(answer: aiohttp.ClientResponse) -> str:
    try:
        return str(json.loads(await answer.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return str(answer.reason)
