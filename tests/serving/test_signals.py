"""A signal is obeyed whichever thread of the launcher takes it: that may be one that starts another."""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.reliability.launched import ROOT, launched, serving

# Another thread takes the signal while the main thread waits.
SCRIPT = """
import signal, sys, threading, time
from serving.service import Service
from serving.command_child import CommandChild
from serving.signals import join, wait_for
from serving.supervision import Supervisor

class Slow(CommandChild):
    def start(self, cancelled):
        other.start()
        while not cancelled():
            time.sleep(0.01)

def take():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, interrupt)
other = threading.Thread(target=take, daemon=True)
try:
    {wait}
except KeyboardInterrupt:
    sys.exit(7)
"""
SLEEPER = "sleeper = threading.Thread(target=time.sleep, args=[60], daemon=True)"
SERVICE = "service = Service([CommandChild('sleep', ['sleep', '60'])], print)"
WAITS = {
    "an event": "other.start(); wait_for(threading.Event())",
    "a thread": f"{SLEEPER}; other.start(); sleeper.start(); join(sleeper)",
    "a running service": f"{SERVICE}; service.start(); other.start(); service.wait()",
    "a start": "Supervisor(Slow('slow', ['true']), print).start()",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_signal_that_another_thread_takes_ends_the_wait(wait: str) -> None:
    script = SCRIPT.format(wait=wait)
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=40).returncode == 7


def test_the_launcher_drains_whichever_thread_takes_the_signal(published_repository: Path) -> None:
    with launched(serving(published_repository)) as server:
        server.wait_until_ready()
        pid = server.process.pid
        other = next(thread.id for thread in psutil.Process(pid).threads() if thread.id != pid)
        assert ctypes.CDLL(None).tgkill(pid, other, signal.SIGTERM) == 0
        assert server.process.wait(timeout=120) == 0
