"""The terminal that showed the log is gone: nothing blocks, and nothing ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import requests

from serving.stubs import STUB
from tests.reliability.launched import ROOT, launched, serving
from tests.waiting import until

# Reads lines from a child, as from tritonserver, and shows them on a stderr that nobody reads.
PUMP = """
import subprocess, sys
from serving.__main__ import log
from serving.pump import pump
sys.stdin.readline()
chatty = "for n in range(20_000): print(n, 'x' * 50)"
child = subprocess.Popen([sys.executable, "-c", chatty], stdout=subprocess.PIPE, text=True)
thread = pump(child.stdout, log)
status = child.wait()
thread.join()
log("from the main thread")
sys.exit(status)
"""


def test_the_pump_drains_a_child_when_stderr_is_closed() -> None:
    command = [sys.executable, "-c", PUMP]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()
    process.stdin.write("go\n")
    process.stdin.close()
    try:
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()


def test_a_closed_stderr_costs_the_lines_and_nothing_else(published_repository: Path) -> None:
    with launched(serving(published_repository)) as server:
        server.wait_until_ready()
        assert server.process.stdout is not None
        assert server.process.stderr is not None
        server.process.stdout.close()
        server.process.stderr.close()
        server.process.stdout = server.process.stderr = None
        url = f"http://127.0.0.1:{server.http_port}"
        stubs = stubs_below(server.process.pid)
        os.kill(stubs[0], signal.SIGKILL)  # the launcher has something to say
        until(lambda: set(stubs_below(server.process.pid)).isdisjoint(stubs) and is_ready(url))
        body = {"text": "A delight."}
        answer = requests.post(f"{url}/v2/models/sentiment/generate", json=body, timeout=120)
        assert answer.json()["label"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=120) == 0


def stubs_below(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True) if is_stub(child)]


def is_stub(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(STUB[:15])
    except psutil.NoSuchProcess:  # it ended meanwhile
        return False


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/v2/health/ready", timeout=10).status_code == 200
    except requests.RequestException:
        return False
