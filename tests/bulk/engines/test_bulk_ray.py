"""The Ray engine: a local one, a small one, and several nodes that are killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bulk.commands import ROOT, SERVER_PYTHON, bulk, command, reviews, scored, title, write_parquet

ROWS, UNIT = 2400, ("--unit-rows", 60)
KILLS = 3
ON_RAY = ("--engine", "ray", *UNIT)

pytestmark = pytest.mark.skipif(
    not list(ROOT.glob(".venv/server/lib/python*/site-packages/ray")),
    reason="Ray is not installed (make bulk)",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    write_parquet(folder / "day=1" / "a.parquet", [*reviews(ROWS - 400), None], row_group_size=700)
    return write_parquet(folder / "day=2" / "b.parquet", reviews(400, seed=1)).parents[1]


@pytest.fixture(scope="module")
def local(published_repository: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of an uninterrupted run of the local engine, in the same environment."""
    output = tmp_path_factory.mktemp("local") / "out"
    done = bulk(published_repository, source, "--output", output, *UNIT, python=SERVER_PYTHON)
    assert done.returncode == 3, done.stderr
    return scored(output)


@pytest.mark.slow
def test_ray_writes_what_the_local_engine_writes_even_when_workers_die(
    published_repository: Path, source: Path, local: Any, tmp_path: Path
) -> None:
    line = command(published_repository, source, "--output", tmp_path / "out", *ON_RAY, python=SERVER_PYTHON)
    elsewhere = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}  # of a cluster that nobody asked for
    driver = subprocess.Popen(line, cwd=ROOT, env=elsewhere, stderr=subprocess.PIPE, text=True)
    chance, kills = random.Random(), 0
    while kills < 2 and driver.poll() is None:
        time.sleep(chance.uniform(0.2, 1.0))
        actors = [
            each
            for each in psutil.Process(driver.pid).children(recursive=True)
            if "UnitScorer" in title(each)
        ]
        if actors and list((tmp_path / "out").rglob("*.parquet")):
            chance.choice(actors).kill()
            kills += 1
    _, said = driver.communicate(timeout=180)
    assert driver.returncode == 3, said
    assert scored(tmp_path / "out") == local


@pytest.mark.slow
def test_nodes_and_drivers_that_are_killed_again_and_again(
    published_repository: Path, source: Path, local: Any, tmp_path: Path
) -> None:
    chance = random.Random()
    arguments = command(published_repository, source, "--output", tmp_path / "out", *ON_RAY)[3:]
    for kill_driver in (True, False):
        pauses = [str(chance.uniform(3, 8)) for _ in range(KILLS)]
        line = [str(SERVER_PYTHON), "-m", "benchmarks.bulk.on_ray", "2", *pauses, "--", *arguments]
        cluster = subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if kill_driver:
            time.sleep(chance.uniform(8, 14))
            for each in psutil.Process(cluster.pid).children():
                if " -m bulk " in title(each):
                    each.kill()
        said, _ = cluster.communicate(timeout=300)
    assert cluster.returncode == 3, said
    assert not list((tmp_path / "out").rglob(".*")), "files of killed nodes are left"
    assert scored(tmp_path / "out") == local


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make /dev/shm small")
@pytest.mark.slow
def test_64_mib_of_dev_shm_are_enough(
    published_repository: Path, source: Path, local: Any, tmp_path: Path
) -> None:
    line = command(published_repository, source, "--output", tmp_path / "out", *ON_RAY, python=SERVER_PYTHON)
    small = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", small, "sh", *line],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this container lets nobody mount: {done.stderr.strip()}")
    assert done.returncode == 3, done.stderr
    assert scored(tmp_path / "out") == local


def test_without_ray_a_sentence_says_what_to_install(
    published_repository: Path, source: Path, tmp_path: Path
) -> None:
    without = "import sys, runpy; sys.modules['ray'] = None; runpy.run_module('bulk', run_name='__main__')"
    arguments = command(published_repository, source, "--output", tmp_path / "out", *ON_RAY)[3:]
    done = subprocess.run(
        [sys.executable, "-c", without, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "--engine ray needs Ray: `make bulk` installs it" in done.stderr
