"""`python -m deploy.cluster up` as a process."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.cluster.balancer import PLACES
from serving.checks import free_ports
from tests.waiting import until

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not shutil.which("haproxy", path=PLACES) and not os.environ.get("CI"),
    reason="haproxy is not installed (Debian: apt-get install haproxy)",
)


def test_an_interrupt_while_it_starts_ends_it_without_a_stack_trace(
    published_repository: Path, tmp_path: Path
) -> None:
    ports = [str(port) for port in free_ports("127.0.0.1", 3)]
    names = ("--http-port", "--grpc-port", "--stats-port")
    options = [word for pair in zip(names, ports, strict=True) for word in pair]
    where = ["--model-repository", str(published_repository), "--folder", str(tmp_path), "--replicas", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cluster", "up", *where, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: bool(psutil.Process(process.pid).children()))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert "Traceback" not in log
