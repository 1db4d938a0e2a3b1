"""Closes a draining server's idle connections.

tritonserver counts connections, not requests. While a client keeps an idle connection open, the server's HTTP
endpoint waits for the whole exit timeout. So the launcher closes these connections: it is the server's
parent, and the kernel lends it the sockets (pidfd_getfd). Where the kernel does not, as in some containers,
draining takes the whole timeout.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

PIDFD_GETFD = 438  # the same number on every architecture
ESTABLISHED = "01"
TABLES = ("tcp", "tcp6")  # a kernel without IPv6 lacks the second
TCP_INFO_BYTES = 160
# Offsets in struct tcp_info (linux/tcp.h): milliseconds since the last data, and numbers of data segments.
LAST_DATA_SENT, LAST_DATA_RECEIVED, SEGMENTS_RECEIVED, SEGMENTS_SENT = 44, 52, 152, 156
QUIET_MILLISECONDS = 5_000


def close_idle(pid: int, ports: Iterable[int]) -> None:
    """Half-close the established connections on these local ports on which the server was the last to send.

    The server then reads the end of the connection and drops it. While a request is in flight, the client was
    the last to send, and its connection stays. Call this again and again while the server drains: a
    connection whose last request and answer came in one tick of the kernel's clock (1 to 4 ms) is closed
    after 5 quiet seconds.
    """
    try:
        tables = [Path(f"/proc/{pid}/net/{name}") for name in TABLES]
        inodes = set().union(*(established(table, set(ports)) for table in tables if table.exists()))
        for connection in _borrow(pid, inodes):
            with closing(connection):
                if _is_idle(connection):
                    connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # it has just exited, or the kernel refuses


def established(table: Path, ports: set[int]) -> set[str]:
    """Inodes of the established connections on these local ports, from the kernel's table of TCP sockets."""
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == ESTABLISHED and int(row[1].split(":")[1], 16) in ports}


def _borrow(pid: int, inodes: set[str]) -> Iterator[socket.socket]:
    links = {f"socket:[{inode}]" for inode in inodes}
    libc = ctypes.CDLL(None, use_errno=True)
    with os.fdopen(os.pidfd_open(pid), "rb") as process:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            if str(Path(entry.path).readlink()) in links:
                number = libc.syscall(PIDFD_GETFD, process.fileno(), int(entry.name), 0)
                if number >= 0:
                    yield socket.socket(fileno=number)


def _is_idle(connection: socket.socket) -> bool:
    """Whether no request waits for its answer, as far as the kernel can tell.

    A wrong guess costs an answer: tritonserver sends the head of a /generate answer, then reads the end of
    the connection, and drops it before the body.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    sent, received, segments_in, segments_out = (
        struct.unpack_from("I", info, offset)[0]
        for offset in (LAST_DATA_SENT, LAST_DATA_RECEIVED, SEGMENTS_RECEIVED, SEGMENTS_SENT)
    )
    if segments_in and not segments_out:
        return False  # a first request, not answered yet
    return received > sent or (received == sent and received > QUIET_MILLISECONDS)
