"""Closing idle connections: on sockets of this process, as the kernel sees them."""

import os
import socket
import time
from collections.abc import Iterator

import pytest

from serving.connections import close_idle

Pair = tuple[socket.socket, socket.socket, int]


@pytest.fixture
def connection() -> Iterator[Pair]:
    """Client's end, server's end, server's port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            with accepted:
                client.settimeout(2)
                accepted.settimeout(0.2)
                yield client, accepted, port


def test_a_connection_whose_request_is_unanswered_stays_open(connection: Pair) -> None:
    client, accepted, port = connection
    time.sleep(0.05)  # the kernel counts in milliseconds
    client.sendall(b"request")
    assert accepted.recv(10) == b"request"
    close_idle(os.getpid(), [port])
    with pytest.raises(TimeoutError):
        accepted.recv(10)


def test_a_first_request_stays_open_though_it_came_in_the_tick_of_its_connection(connection: Pair) -> None:
    client, accepted, port = connection
    client.sendall(b"request")
    assert accepted.recv(10) == b"request"
    close_idle(os.getpid(), [port])
    with pytest.raises(TimeoutError):
        accepted.recv(10)


def test_a_request_in_the_tick_of_the_answer_before_stays_open(connection: Pair) -> None:
    client, accepted, port = connection
    for _ in range(20):  # in one tick, most of the time
        client.sendall(b"request")
        assert accepted.recv(10) == b"request"
        accepted.sendall(b"answer")
        assert client.recv(10) == b"answer"
        client.sendall(b"request")
        assert accepted.recv(10) == b"request"
        close_idle(os.getpid(), [port])
        with pytest.raises(TimeoutError):
            accepted.recv(10)
        accepted.sendall(b"answer")
        assert client.recv(10) == b"answer"


def test_an_answered_connection_reads_its_end_and_can_still_send(connection: Pair) -> None:
    client, accepted, port = connection
    client.sendall(b"request")
    accepted.recv(10)
    time.sleep(0.05)
    accepted.sendall(b"answer")
    close_idle(os.getpid(), [port])
    assert accepted.recv(10) == b""
    accepted.sendall(b" and more")
    time.sleep(0.05)
    assert client.recv(30) == b"answer and more"


def test_connections_on_other_ports_are_left_alone(connection: Pair) -> None:
    _, accepted, port = connection
    close_idle(os.getpid(), [port + 1])
    with pytest.raises(TimeoutError):
        accepted.recv(10)


def test_a_process_that_is_gone_is_no_error() -> None:
    close_idle(2**22 + 1, [80])
