"""Bytes to a server and whatever comes back: no HTTP library would send what these tests need to send."""

import contextlib
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

SECONDS = 30


@dataclass(frozen=True)
class Reply:
    """`status` 0: the connection ended without an answer, which is an answer too."""

    status: int
    body: bytes


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, length: object = None
) -> bytes:
    """An HTTP/1.1 request; `length` stands in Content-Length in place of the truth."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: here",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def exchange(url: str, data: bytes, seconds: float = SECONDS) -> Reply:
    """Send `data` to the server at `url`, say that no more comes, and read until it closes or falls silent.

    Raises TimeoutError when nothing at all comes back within `seconds`.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    with contextlib.closing(socket.create_connection(address, seconds)) as connection:
        # A server that refuses early resets the connection while the rest is being sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return parse(_read(connection))


def _read(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            received += part
    return received


def parse(answer: bytes) -> Reply:
    """The status line's number and everything after the headers."""
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if words[0].startswith(b"HTTP/") and len(words) > 1 else 0
    return Reply(status, body)
