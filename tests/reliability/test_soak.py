"""The soak as its command runs it: 20,000 questions in CI, or as many as SOAK_REQUESTS says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.runtime import SERVER_PYTHON

ROOT = Path(__file__).parents[2]
REQUESTS = int(os.environ.get("SOAK_REQUESTS", 20_000 if os.environ.get("CI") else 2_000))
# Seconds: several faults in any run, however fast the machine.
FAULT_EVERY = max(2, REQUESTS // 2_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_answer_is_wrong_or_lost_while_processes_die_and_models_reload(tmp_path: Path) -> None:
    publish = [SERVER_PYTHON, "-m", "export", "publish", "--repository", tmp_path / "models"]
    subprocess.run(publish, cwd=ROOT, check=True, capture_output=True)
    soak = [sys.executable, "-m", "benchmarks.soak", "--requests", str(REQUESTS)]
    options = [
        "--model-repository",
        tmp_path / "models",
        "--fault-every",
        str(FAULT_EVERY),
        "--longest",
        "20",
        "--show-log",
    ]
    run = subprocess.run([*soak, *options], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{REQUESTS:,} questions in" in run.stdout
    assert "is ready again after" in run.stdout
