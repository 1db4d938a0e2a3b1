"""Watching a server's processes: real processes, and a clock that the test turns."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serving import stubs
from serving.stubs import GONE, STUB, ZOMBIE, Stub, Watch, state, stubs_of
from tests.waiting import until

# Starts a "stub" for each model, and for each that is named later; like Triton, it reaps a dead one only when
# it wants to.
SERVER = """
import subprocess, sys
stub, *models = sys.argv[1:]
children = [subprocess.Popen([stub, model]) for model in models]
print("started", flush=True)
for line in sys.stdin:
    if line.startswith("/"):
        children.append(subprocess.Popen([stub, line.strip()]))
        print("started", flush=True)
    else:
        children[int(line)].wait()
        print("reaped", flush=True)
"""
MODELS = ("tokenizer/1/model.py", "fp32/2/model.onnx")


def until_named(server: int, count: int) -> None:
    """Popen may return a moment before the kernel knows the new command line."""
    until(lambda: sum(bool(stub.model) for stub in stubs_of(server).values()) == count)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a stub for `tokenizer` version 1 and one for `fp32` version 2."""
    stub = shutil.copy(shutil.which("bash") or "bash", tmp_path / STUB)  # runs its first argument
    files = [tmp_path / "repository" / model for model in MODELS]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("while true; do sleep 1; done")
    command = [sys.executable, "-c", SERVER, stub, *files]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        until_named(process.pid, len(MODELS))
        yield process
        children = psutil.Process(process.pid).children()
        for child in filter(psutil.Process.is_running, children):
            child.kill()
        process.kill()


class Bench:
    """A watch with a clock to turn, and a say on what Triton takes for ready."""

    def __init__(self, server: int) -> None:
        self.now, self.served = 0.0, True
        self.watch = Watch(server, lambda stub: self.served, lambda: self.now)
        assert self.watch.ailment() == ""
        self.stubs = {stub.model: stub for stub in self.watch.stubs_now()}

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.watch.ailment()


def test_stubs_tell_their_model_and_version(server: subprocess.Popen[str]) -> None:
    found = {(stub.model, stub.version) for stub in stubs_of(server.pid).values()}
    assert found == {("tokenizer", "1"), ("fp32", "2")}


def test_a_dead_stub_is_found_at_the_next_look_and_named(server: subprocess.Popen[str]) -> None:
    bench = Bench(server.pid)
    stub = bench.stubs["tokenizer"]
    psutil.Process(stub.pid).kill()
    until(lambda: state(stub.pid) == ZOMBIE)
    assert bench.after(0.01) == ""
    assert bench.after(0.2) == f"lost the process of tokenizer (pid {stub.pid})"
    assert stub.pid not in bench.watch.living


def test_a_stub_that_is_first_seen_between_fork_and_exec_gets_its_name_later(
    server: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it has its parent's command line."""
    seen = stubs_of(server.pid)
    monkeypatch.setattr(stubs, "stubs_of", lambda _: {pid: Stub(pid, "", "") for pid in seen})
    bench = Bench(server.pid)
    monkeypatch.setattr(stubs, "stubs_of", stubs_of)
    assert bench.after(1.0) == ""
    assert {stub.model for stub in bench.watch.stubs_now()} == {"tokenizer", "fp32"}


def test_a_stub_that_came_since_the_last_look_and_dies_at_once_is_named(
    server: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stubs, "stubs_of", lambda _: {})
    bench = Bench(server.pid)
    monkeypatch.setattr(stubs, "stubs_of", stubs_of)
    bench.watch.meet()  # as the launcher does once the server is ready
    victim = next(stub for stub in bench.watch.stubs_now() if stub.model == "tokenizer")
    psutil.Process(victim.pid).kill()
    until(lambda: state(victim.pid) == ZOMBIE)
    assert bench.after(0.01) == ""
    assert bench.after(1.0) == f"lost the process of tokenizer (pid {victim.pid})"


def test_a_model_that_is_loaded_later_has_a_name_at_the_next_look(
    server: subprocess.Popen[str], tmp_path: Path
) -> None:
    """So its death is found as soon as that of the others."""
    bench = Bench(server.pid)
    file = tmp_path / "repository" / MODELS[1].replace("fp32/2", "later/3")
    file.parent.mkdir(parents=True)
    file.write_text("while true; do sleep 1; done")
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{file}\n")
    server.stdin.flush()
    assert server.stdout.readline() == "started\n"
    until_named(server.pid, len(MODELS) + 1)
    assert bench.after(0.1) == ""
    [later] = [stub for stub in bench.watch.stubs_now() if stub.model == "later"]
    psutil.Process(later.pid).kill()
    until(lambda: state(later.pid) == ZOMBIE)
    assert bench.after(0.01) == ""
    assert bench.after(0.2) == f"lost the process of later (pid {later.pid})"


def test_a_stub_that_the_server_ended_itself_is_no_fault(server: subprocess.Popen[str]) -> None:
    bench = Bench(server.pid)
    psutil.Process(bench.stubs["fp32"].pid).terminate()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("1\n")
    server.stdin.flush()
    assert server.stdout.readline() == "reaped\n"
    assert [bench.after(seconds) for seconds in (0.01, 0.2, 10.0)] == ["", "", ""]
    assert set(bench.watch.stubs_now()) == {bench.stubs["tokenizer"]}


def test_a_stub_that_dies_while_its_model_loads_is_a_fault_only_when_nobody_cleans_up(
    server: subprocess.Popen[str],
) -> None:
    bench = Bench(server.pid)
    bench.served = False
    stub = bench.stubs["fp32"]
    psutil.Process(stub.pid).kill()
    until(lambda: state(stub.pid) == ZOMBIE)
    assert [bench.after(seconds) for seconds in (0.01, 0.2, 4.0)] == ["", "", ""]
    assert bench.after(2.0) == f"lost the process of fp32 (pid {stub.pid})"


def test_a_stopped_stub_is_found_and_one_that_goes_on_is_forgiven(server: subprocess.Popen[str]) -> None:
    bench = Bench(server.pid)
    stub = psutil.Process(bench.stubs["fp32"].pid)
    stub.suspend()
    until(lambda: state(stub.pid) == "T")
    assert [bench.after(seconds) for seconds in (0.01, 0.3)] == ["", ""]
    stub.resume()
    until(lambda: state(stub.pid) != "T")
    assert bench.after(0.3) == ""
    stub.suspend()
    until(lambda: state(stub.pid) == "T")
    assert bench.after(0.01) == ""
    assert bench.after(0.6) == f"has the process of fp32 (pid {stub.pid}) stopped (SIGSTOP)"


def test_a_stopped_server_is_found(server: subprocess.Popen[str]) -> None:
    bench = Bench(server.pid)
    server.send_signal(signal.SIGSTOP)
    until(lambda: state(server.pid) == "T")
    assert bench.after(0.01) == ""
    assert bench.after(0.6) == "is stopped (SIGSTOP)"


def test_a_process_that_is_gone_has_no_state_and_no_stubs() -> None:
    nobody = 2**22 + 1
    assert state(nobody) == GONE
    assert stubs_of(nobody) == {}
    assert str(Stub(7, "", "")) == "the process of a model (pid 7)"
