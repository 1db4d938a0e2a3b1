"""Thousands of connections that ask nothing, or take for ever to ask, disturb nobody who does."""

import itertools
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from benchmarks.soak.traffic import Traffic
from clients import SentimentClient
from tests.reliability.conftest import Supervised, more_answers
from tests.waiting import until

IDLE, SLOW = 2_000, 200
REQUEST = (
    b"POST /v2/models/sentiment/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b" " * 9999
)


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many files as the test has connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + SLOW + 1_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(stack: ExitStack, port: int) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))


def drip(connections: list[socket.socket], ended: threading.Event) -> None:
    """A byte a second on each of them."""
    for number in itertools.count():
        for connection in connections:
            connection.send(REQUEST[number : number + 1])
        if ended.wait(1.0):
            return


@pytest.mark.usefixtures("many_files")
def test_clients_go_on_beside_2000_idle_connections_and_200_slow_ones(
    supervised: Supervised, traffic: Traffic
) -> None:
    options = supervised.server.options
    ended = threading.Event()
    with ExitStack() as stack:
        ports = itertools.cycle([options.http_port, options.http_port, options.http_port, options.grpc_port])
        for _ in range(IDLE):
            connect(stack, next(ports))
        slow = [connect(stack, options.http_port) for _ in range(SLOW)]
        thread = threading.Thread(target=drip, args=(slow, ended))
        thread.start()
        try:
            more_answers(traffic, 200)
            with SentimentClient(supervised.server.http_url) as newcomer:
                assert len(newcomer.classify(["A delight.", "Dull."])) == 2
        finally:
            ended.set()
            thread.join()
    assert traffic.tally.of("refused") + traffic.tally.of("broken off") == 0
    assert supervised.restarts == 0


@pytest.mark.usefixtures("many_files")
def test_a_server_out_of_file_descriptors_keeps_its_clients_and_takes_new_ones_later(
    supervised: Supervised, traffic: Traffic
) -> None:
    server, pid = supervised.server, supervised.server.pid
    more_answers(traffic)  # each of them has its connection
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds() + 50, before[1]))
    try:
        with ExitStack() as stack:
            for _ in range(300):  # accepted by the kernel, not by the server
                connect(stack, server.options.http_port)
            until(lambda: psutil.Process(pid).num_fds() >= resource.prlimit(pid, resource.RLIMIT_NOFILE)[0])
            more_answers(traffic, 100)
        with SentimentClient(server.http_url) as newcomer:
            assert len(newcomer.classify(["A delight."])) == 1
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert supervised.restarts == 0
