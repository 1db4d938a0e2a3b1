"""Triton over HTTP with as little code as can be: the gateway runs on the cores that the model computes on.

aiohttp in its place brings nothing over gRPC: docs/guides/gateway.md has the figures.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from httptools import HttpResponseParser
from pydantic_core import from_json, to_json
from tritonclient.utils import InferenceServerException

from clients.endpoint import Endpoint
from clients.request_options import RequestOptions
from clients.retry_after import refusal
from clients.sentiment import Sentiment
from clients.tensors import INPUT, read_sentiments

CLOSED = "the server closed the connection"


class TritonHttp:
    """A transport of `clients`: connections that are kept, each with one request at a time."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        parts = urlsplit(f"//{endpoint.address}")
        self._host, self._port, self._tls = parts.hostname or "", parts.port or 80, endpoint.tls
        self._path = parts.path
        self._headers = _lines({"Host": parts.netloc, **headers})
        self._idle: list[_Connection] = []

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]:
        body = to_json(
            {
                "id": options.request_id,
                "parameters": {"timeout": options.microseconds, **options.parameters},
                "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [len(texts), 1], "data": texts}],
            }
        )
        line = f"POST {self._path}/v2/models/{model}/infer"
        answer = await self._answer(line, options.headers({}), body)
        outputs = {each["name"]: _rows(each["data"], *each["shape"]) for each in answer["outputs"]}
        return read_sentiments(outputs.get, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        return await self._answer(f"GET {self._path}/v2/models/{model}/config")

    async def is_ready(self, model: str, timeout: float) -> bool:
        return (await self._exchange(f"GET {self._path}/v2/models/{model}/ready", {}, b"")).status == 200

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().transport.close()

    async def _answer(self, line: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Any:
        reply = await self._exchange(line, headers or {}, body)
        if reply.status != 200:
            raise reply.error()
        return from_json(bytes(reply.body))

    async def _exchange(self, line: str, headers: Mapping[str, str], body: bytes) -> "_Reply":
        own = _lines(headers) if headers else ""
        head = f"{line} HTTP/1.1\r\n{self._headers}{own}Content-Length: {len(body)}\r\n\r\n"
        connection = await self._connection()
        try:
            reply = await connection.ask(head.encode("latin-1") + body)
        except BaseException:
            # An answer that comes after all would be taken for the next request's.
            connection.transport.abort()
            raise
        if reply.keep:
            self._idle.append(connection)
        else:
            connection.transport.close()
        return reply

    async def _connection(self) -> "_Connection":
        while self._idle:
            if not (kept := self._idle.pop()).transport.is_closing():
                return kept
        loop = asyncio.get_running_loop()
        _, new = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls or None)
        return new


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _rows(values: list[Any], rows: int, width: int) -> list[list[Any]]:
    if rows == 1:
        return [values]
    return [values[width * row : width * (row + 1)] for row in range(rows)]


@dataclass
class _Reply:
    """An answer as it comes in."""

    status: int = 0
    keep: bool = True
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray)

    def error(self) -> Exception:
        """What the SDK makes one of its own errors of."""
        if refused := refusal(self.status, self.retry_after):
            return refused
        try:
            message = from_json(bytes(self.body))["error"]
        except (ValueError, TypeError, KeyError):
            message = self.body.decode(errors="replace")
        return InferenceServerException(str(message), str(self.status))


class _Connection(asyncio.Protocol):
    """Feeds httptools' parser, which calls the methods named on_..."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._coming: asyncio.Future[_Reply] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[_Reply]":
        """The answer to come. Raises OSError, here or there, when the connection breaks."""
        if self.transport.is_closing():
            raise ConnectionResetError(CLOSED)
        self._reply = _Reply()
        self._parser = HttpResponseParser(self)
        self._coming = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._coming

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError(CLOSED))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._reply.retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._reply.body += body

    def on_message_complete(self) -> None:
        self._reply.status = self._parser.get_status_code()
        self._reply.keep = self._parser.should_keep_alive()
        if self._coming and not self._coming.done():
            self._coming.set_result(self._reply)

    def _fail(self, error: Exception) -> None:
        if self._coming and not self._coming.done():
            self._coming.set_exception(error)
