"""uvicorn's HTTP protocol, but the head of an answer leaves together with the start of its body.

uvicorn writes the two one after the other. Each write is a system call, and a packet that wakes the client.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STATUS, END = b"HTTP/1.1 ", b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 "  # has no body


class OneWriteProtocol(HttpToolsProtocol):
    """For uvicorn.Config(http=...)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Puts `_HeadWithBody` between uvicorn and the connection."""
        super().connection_made(cast(asyncio.Transport, _HeadWithBody(cast(asyncio.Transport, transport))))


class _HeadWithBody:
    """A transport that holds an answer's head until its body comes, or the event loop's next round."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(STATUS) and data.endswith(END) and not data.startswith(CONTINUE):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
