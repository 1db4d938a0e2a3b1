"""Kills at random moments: after the rerun the output is an uninterrupted run's, row for row."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bulk.commands import ROOT, bulk, command, reviews, scored, title, write_parquet
from tests.waiting import until

ROWS = 3000
DRIVER_KILLS, WORKER_KILLS = 8, 4
WORKERS = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(
        tmp_path_factory.mktemp("in") / "a.parquet", [*reviews(ROWS), None], row_group_size=700
    )


@pytest.fixture(scope="module")
def uninterrupted(published_repository: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its rows, and how long it took."""
    began, output = time.monotonic(), tmp_path_factory.mktemp("whole") / "out"
    assert bulk(published_repository, source, "--output", output, "--unit-rows", 100).returncode == 3
    return scored(output), time.monotonic() - began


def test_a_driver_that_is_killed_again_and_again(
    published_repository: Path, source: Path, uninterrupted: Any, tmp_path: Path
) -> None:
    rows, seconds = uninterrupted
    chance, kills = random.Random(), 0
    line = command(published_repository, source, "--output", tmp_path / "out", "--unit-rows", 100)
    while kills < DRIVER_KILLS:
        driver = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.8) * seconds)
        if driver.poll() is not None:  # done before it was killed: once more, and sooner
            assert driver.returncode == 3
            assert scored(tmp_path / "out") == rows
            shutil.rmtree(tmp_path / "out")
            seconds *= 0.7
            continue
        workers = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.wait()
        kills += 1
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive, "workers outlive their driver"
    assert bulk(published_repository, *line[4:9]).returncode == 3
    assert scored(tmp_path / "out") == rows
    assert not list((tmp_path / "out").rglob(".*")), "files of killed runs are left"


def test_workers_that_are_killed_again_and_again(
    published_repository: Path, source: Path, uninterrupted: Any, tmp_path: Path
) -> None:
    rows, _ = uninterrupted
    chance, kills = random.Random(), 0
    options = ("--unit-rows", 100, "--workers", WORKERS)
    line = command(published_repository, source, "--output", tmp_path / "out", *options)
    driver = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def parts() -> int:
        return len(list((tmp_path / "out").glob("*.parquet")))

    while kills < WORKER_KILLS and driver.poll() is None:
        # Texts that see three workers die are taken for the cause, so those of this kill must be done first.
        enough = parts() + 2 * WORKERS
        until(lambda enough=enough: parts() >= enough or driver.poll() is not None)
        if driver.poll() is not None:
            break
        spawned = [each for each in psutil.Process(driver.pid).children() if "spawn_main" in title(each)]
        if spawned:
            os.kill(chance.choice(spawned).pid, signal.SIGKILL)
            kills += 1
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    assert kills
    assert scored(tmp_path / "out") == rows
