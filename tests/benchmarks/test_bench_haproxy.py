"""The comparison of HAProxy with a server itself, run whole and small."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cluster.balancer import PLACES

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not shutil.which("haproxy", path=PLACES) and not os.environ.get("CI"), reason="haproxy is not installed"
)
def test_cost_of_haproxy_is_measured_against_the_same_server() -> None:
    options = ["--rounds", "1", "--seconds", "1", "--requests", "20", "--reviews", "8"]
    command = [sys.executable, "-m", "benchmarks.haproxy", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode in (0, 1), done.stderr
    assert "through HAProxy" in done.stdout
    assert "% (at least 95%)" in done.stdout
