"""A client that was used before a real fork, as gunicorn, multiprocessing and Celery's prefork do it.

The server runs in a process of its own: gRPC is not made for a fork of a process that has a gRPC server.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pytest

from clients import Limits, SentimentClient, background_loop, forks
from clients.endpoint import Protocol
from clients.forks import Calls
from tests.clients import fakes

LIMITS = Limits(timeout=10, deadline=10)
PATIENCE = 60.0


def serve(protocol: Protocol, pipe: Connection) -> None:
    """Runs a FakeTriton; each (name, value) sets an attribute, each name is answered with its value."""
    with (fakes.http_server if protocol == "http" else fakes.grpc_server)() as running:
        pipe.send(running.url)
        while (message := pipe.recv()) is not None:
            if isinstance(message, str):
                pipe.send(getattr(running, message))
            else:
                setattr(running, *message)


@dataclass
class FarTriton:
    """A FakeTriton in another process."""

    pipe: Connection
    url: str

    @property
    def peers(self) -> list[str]:
        self.pipe.send("peers")
        return self.pipe.recv()

    def answer_after(self, seconds: float) -> None:
        self.pipe.send(("delay", seconds))


@pytest.fixture
def fake(protocol: Protocol) -> Iterator[FarTriton]:
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe()
    server = processes.Process(target=serve, args=(protocol, there), daemon=True)
    server.start()
    assert here.poll(PATIENCE)
    yield FarTriton(here, here.recv())
    here.send(None)
    server.join(PATIENCE)
    assert server.exitcode == 0


def in_forked_child(work: Callable[[], None]) -> None:
    """Runs `work` in a forked child and expects it to end well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    give_up_at = time.monotonic() + PATIENCE
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > give_up_at:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.05)
    assert ended[1] == 0


def ask(client: SentimentClient, text: str) -> None:
    assert client.classify_one(text).label == text


def test_client_that_was_used_before_a_fork_works_in_child_and_parent(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client:
        ask(client, "parent")
        in_forked_child(lambda: ask(client, "child"))
        ask(client, "parent again")
        in_forked_child(lambda: ask(client, "second child"))
        ask(client, "and again")


def test_child_has_connections_of_its_own(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client:
        ask(client, "parent")
        in_forked_child(lambda: ask(client, "child"))
        ask(client, "parent")
    parent, child, parent_again = fake.peers
    assert parent == parent_again != child


def test_fork_in_the_middle_of_other_threads_requests(fake, protocol, capfd):
    fake.answer_after(0.05)
    stop = threading.Event()
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client:

        def keep_asking(name: str) -> None:
            while not stop.is_set():
                ask(client, name)

        threads = [threading.Thread(target=keep_asking, args=(f"thread {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for number in range(4):
            in_forked_child(lambda number=number: ask(client, f"child {number}"))
        stop.set()
        for thread in threads:
            thread.join()
    assert "skipping fork" not in capfd.readouterr().err  # gRPC's words for a child that may hang or abort


def test_fork_waits_for_calls_and_calls_wait_for_the_fork():
    calls, order = Calls(), []
    calls.begin()
    fork = threading.Thread(target=lambda: (calls.hold(), order.append("fork"), calls.go_on()))
    fork.start()
    while not calls._gate.locked():
        time.sleep(0.001)
    late = threading.Thread(target=lambda: (calls.begin(), order.append("late call")))
    late.start()
    late.join(0.05)
    assert order == []
    calls.end()
    fork.join(PATIENCE)
    late.join(PATIENCE)
    assert order == ["fork", "late call"]


def test_fork_does_not_wait_for_ever_for_a_call(monkeypatch):
    monkeypatch.setattr(forks, "PATIENCE", 0.05)
    calls = Calls()
    calls.begin()
    calls.hold()
    calls.go_on()
    assert not calls._gate.locked()


def test_fork_while_another_thread_starts_the_loop(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client, background_loop._lock:
        in_forked_child(lambda: ask(client, "child"))


_shared: list[SentimentClient] = []


def _ask_shared(text: str) -> str:
    return _shared[0].classify_one(text).label


def test_pool_of_multiprocessing_shares_a_module_level_client(fake, protocol):
    texts = [f"text {number}" for number in range(20)]
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client:
        ask(client, "parent")
        _shared[:] = [client]
        # A command that a test ran here leaves a handler, and another thread may get the pool's signal.
        default = (signal.SIGTERM, signal.SIG_DFL)
        with multiprocessing.get_context("fork").Pool(3, signal.signal, default) as pool:
            assert pool.map_async(_ask_shared, texts).get(PATIENCE) == texts
        ask(client, "parent")


def test_closing_in_the_child_leaves_the_parents_connection_alone(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=LIMITS) as client:
        ask(client, "parent")
        in_forked_child(client.close)
        ask(client, "parent")
    assert len(set(fake.peers)) == 1


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_dropping_the_client_in_the_child_touches_nothing_of_the_parent(fake, protocol):
    client = SentimentClient(fake.url, protocol, limits=LIMITS)
    ask(client, "parent")

    def drop() -> None:
        nonlocal client
        ask(client, "child")
        del client

    in_forked_child(drop)
    ask(client, "parent")
    assert fake.peers[0] == fake.peers[-1]
