"""How many threads the export runs: what the affinity mask and the cgroup grant, not what the machine has."""

from threading import Barrier, active_count

import pytest

from export.gate import parallel
from serving.onnxruntime_backend import cores


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (2.5, 2), (float("inf"), 8)])
def test_the_quota_of_the_cgroup_is_honoured(
    quota: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "cgroup_quota", lambda: quota)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)))
    before, together = active_count(), Barrier(threads)  # it passes when that many wait at once

    def wait(item: int) -> tuple[int, int]:
        together.wait(60)
        return item, active_count() - before

    results = parallel.run_all(wait, range(2 * threads))
    assert [item for item, _ in results] == list(range(2 * threads))
    assert max(running for _, running in results) <= threads
