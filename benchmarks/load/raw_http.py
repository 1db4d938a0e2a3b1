"""HTTP as cheap as Python allows, for a load generator that shares two cores with the server.

A general client library takes half a millisecond of processor time for a request, as much as the server takes
for a refusal.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

# Body and timeout in seconds to status and body of the answer; raises Lost.
Post = Callable[[bytes, float], Awaitable[tuple[int, bytes]]]


class Lost(Exception):
    """No answer came: the connection failed or time was up."""


class _Connection(asyncio.Protocol):
    """One request at a time on a connection that is kept."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) >= length and self.answer and not self.answer.done():
            self._received.clear()
            self.answer.set_result((int(lines[0].split()[1]), bytes(body)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer and not self.answer.done():
            self.answer.set_exception(Lost())


@asynccontextmanager
async def raw_http(url: str) -> AsyncIterator[Post]:
    """A function that POSTs to `url`; the connections are closed at the end."""
    connections = _Connections(url)
    yield connections.post
    connections.close()


class _Connections:
    """POSTs to one URL (http, answers with Content-Length), each on a free connection or a new one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode()
        self._free: list[_Connection] = []

    async def post(self, body: bytes, timeout: float) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Lost."""
        connection = None
        try:
            async with asyncio.timeout(timeout):
                connection = await self._connection()
                connection.answer = asyncio.get_running_loop().create_future()
                assert connection.transport is not None
                connection.transport.write(b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body))
                found = await connection.answer
        except (OSError, TimeoutError):
            if connection and connection.transport:
                connection.transport.abort()
            raise Lost from None
        self._free.append(connection)
        return found

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.transport and not connection.transport.is_closing():
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, self._host, self._port
        )
        return connection

    def close(self) -> None:
        """Close the connections."""
        for connection in self._free:
            if connection.transport:
                connection.transport.abort()
