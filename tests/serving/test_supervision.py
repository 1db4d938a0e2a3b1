"""Supervision of children: real processes where they matter, a fake clock where time does."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from serving.checks import free_ports
from serving.command_child import CommandChild
from serving.errors import ServingError
from serving.service import Service
from serving.supervision import RestartPolicy, Restarts, Supervisor
from tests.waiting import until

ROOT = Path(__file__).parents[2]
FAST = RestartPolicy(limit=3, window=600.0, first_delay=0.01, last_delay=0.02)
# Listens after a moment, says so, and on SIGTERM takes a moment to say goodbye.
SERVER = """
import signal, socket, sys, time
def drain(*_):
    time.sleep(0.2)
    print("drained", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
time.sleep(0.2)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    time.sleep(1)
"""


class Log(list[str]):
    """Lines that were shown."""

    def wait_for(self, part: str) -> None:
        until(lambda: any(part in line for line in self))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def child(log: Log) -> CommandChild:
    port = free_ports("127.0.0.1", 1)[0]
    command = [sys.executable, "-c", SERVER, str(port)]
    return CommandChild("parrot", command, lambda: listens(port), log=log.append)


def test_start_returns_when_the_probe_says_so_and_stop_drains(child: CommandChild, log: Log) -> None:
    supervisor = Supervisor(child, log.append)
    supervisor.start()
    process = psutil.Process(child.pid)
    log.wait_for("parrot: listening")
    supervisor.stop()
    assert not process.is_running()
    log.wait_for("parrot: drained")
    assert supervisor.failure == ""


def test_a_killed_child_is_restarted_and_the_log_says_so(child: CommandChild, log: Log) -> None:
    supervisor = Supervisor(child, log.append, FAST)
    supervisor.start()
    first = child.pid
    os.kill(first, signal.SIGKILL)
    log.wait_for("parrot is ready again after")
    assert child.pid != first
    assert "parrot was killed by SIGKILL; restart 1 of 3, in 0.0 s" in log
    supervisor.stop()


def test_a_child_that_keeps_failing_is_given_up_in_one_line(tmp_path: Path, log: Log) -> None:
    seen = tmp_path / "seen"
    # Works once; every later start fails.
    code = f"import os, sys, time; os.mkdir({str(seen)!r}); time.sleep(0.3); sys.exit(7)"
    supervisor = Supervisor(
        CommandChild("weakling", [sys.executable, "-c", code], log=log.append), log.append, FAST
    )
    supervisor.start()
    assert supervisor.wait(60)
    assert "it was restarted 3 times within 600 s and is given up" in supervisor.failure
    assert supervisor.restarts.count == 3
    assert "weakling ended by itself with status 7; restart 1 of 3, in 0.0 s" in log
    supervisor.stop()


def test_a_first_start_that_fails_is_told_and_not_repeated(log: Log) -> None:
    command = [sys.executable, "-c", "print('no such colour', flush=True); raise SystemExit(3)"]
    child = CommandChild("painter", command, lambda: False, log=log.append)
    supervisor = Supervisor(child, log.append, FAST)
    with pytest.raises(ServingError, match="painter did not start, it ended by itself with status 3"):
        supervisor.start()
    assert supervisor.restarts.count == 0


def test_a_child_that_says_its_name_itself_is_not_named_twice(log: Log) -> None:
    # Celery's worker does: "worker: Warm shutdown (MainProcess)".
    child = CommandChild("worker", [sys.executable, "-c", "print('worker: good-bye')"], log=log.append)
    child.start(lambda: False)
    log.wait_for("good-bye")
    child.stop()
    assert log == ["worker: good-bye"]


def test_a_command_that_does_not_exist_is_one_sentence(log: Log) -> None:
    child = CommandChild("ghost", ["/nonexistent/program"], log=log.append)
    with pytest.raises(ServingError, match="ghost did not start: No such file or directory"):
        Supervisor(child, log.append).start()


def test_stop_interrupts_a_start_that_never_becomes_ready(log: Log) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    supervisor = Supervisor(CommandChild("sleeper", command, lambda: False, log=log.append), log.append)
    failures: list[str] = []

    def start() -> None:
        try:
            supervisor.start()
        except ServingError as error:
            failures.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(0.3)
    supervisor.stop()
    thread.join(timeout=60)
    assert failures


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(log: Log) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('deaf', flush=True); time.sleep(600)"
    )
    child = CommandChild("deaf", [sys.executable, "-c", code], stop_timeout=0.2, log=log.append)
    supervisor = Supervisor(child, log.append)
    supervisor.start()
    log.wait_for("deaf: deaf")
    processes = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    assert len(processes) == 2
    supervisor.stop()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive


def test_what_a_killed_child_leaves_behind_does_not_keep_its_port(log: Log) -> None:
    port = free_ports("127.0.0.1", 1)[0]
    # As a launcher and its tritonserver: what listens is in a session of its own, and deaf to SIGTERM.
    holder = f"""
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", {port}))
time.sleep(600)
"""
    launcher = (
        "import subprocess, sys;"
        f"subprocess.run([sys.executable, '-c', {holder!r}], start_new_session=True, check=True)"
    )
    command = [sys.executable, "-c", launcher]
    child = CommandChild("launcher", command, lambda: listens(port), log=log.append)
    supervisor = Supervisor(child, log.append, FAST)
    supervisor.start()
    [left] = psutil.Process(child.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    log.wait_for("launcher is ready again after")
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    supervisor.stop()
    assert not listens(port)


def test_delays_double_within_the_window_and_end_at_the_limit() -> None:
    now = [0.0]
    restarts = Restarts(RestartPolicy(limit=4, window=60, first_delay=0.5, last_delay=3), lambda: now[0])
    assert [restarts.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, None]


def test_restarts_outside_the_window_are_forgiven() -> None:
    now = [0.0]
    restarts = Restarts(RestartPolicy(limit=2, window=60, first_delay=0.5, last_delay=3), lambda: now[0])
    assert restarts.next_delay() == 0.5
    now[0] = 30.0
    assert restarts.next_delay() == 1.0
    now[0] = 60.0  # the first has left the window
    assert restarts.next_delay() == 1.0
    now[0] = 61.0
    assert restarts.next_delay() is None


def test_a_service_ends_when_one_of_its_children_is_given_up(child: CommandChild, log: Log) -> None:
    once = CommandChild("mayfly", [sys.executable, "-c", "import time; time.sleep(0.2)"], log=log.append)
    with Service([child, once], log.append, FAST) as service:
        parrot = psutil.Process(child.pid)
        assert "mayfly ended by itself with status 0" in service.wait()
        assert parrot.is_running()
    assert not parrot.is_running()


def test_a_service_whose_second_child_does_not_start_leaves_nothing(child: CommandChild, log: Log) -> None:
    absent = CommandChild("ghost", ["/nonexistent/program"], log=log.append)
    service = Service([child, absent], log.append)
    with pytest.raises(ServingError, match="ghost"):
        service.start()
    log.wait_for("parrot: drained")


# gRPC's own handlers wait for ever where another thread closes a channel at that moment.
NO_FORK = """
import ctypes, os
from pathlib import Path
from serving.processes import spawn
handler = ctypes.CFUNCTYPE(None)(lambda: os._exit(9))
assert ctypes.CDLL(None).__register_atfork(handler, None, None, None) == 0
assert spawn(["true"], dict(os.environ), Path.cwd()).wait() == 0
"""


def test_a_child_starts_without_the_handlers_of_fork() -> None:
    assert subprocess.run([sys.executable, "-c", NO_FORK], cwd=ROOT, timeout=60).returncode == 0


def test_a_child_has_the_limits_that_a_server_needs(log: Log) -> None:
    report = "import resource as r; print([r.getrlimit(x)[0] for x in (r.RLIMIT_NOFILE, r.RLIMIT_STACK)])"
    child = CommandChild("limits", [sys.executable, "-c", report], lambda: bool(log), log=log.append)
    child.start(lambda: False)
    child.stop()
    files, stack = (
        most if hard == resource.RLIM_INFINITY else min(hard, most)
        for most, hard in (
            (65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            (256 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]),
        )
    )
    assert log == [f"limits: [{files}, {max(stack, resource.getrlimit(resource.RLIMIT_STACK)[0])}]"]
