"""How many processor cores this process may really use: its affinity mask and its cgroup's quota."""

import math
import os
from pathlib import Path

from serving.onnxruntime_backend.cgroup import PROC, ROOT, read_text, smallest_limit


def usable_cores() -> int:
    """At least 1: the smaller of the affinity mask and the whole cores of the cgroup quota."""
    return max(1, math.floor(min(len(os.sched_getaffinity(0)), cgroup_quota())))


def cgroup_quota(proc: Path = PROC, root: Path = ROOT) -> float:
    """CPU quota in cores, ``inf`` when there is none."""
    return smallest_limit("cpu", _quota_v2, _quota_v1, proc, root)


def _quota_v2(folder: Path) -> float:
    fields = read_text(folder / "cpu.max").split()
    return _cores(*fields) if len(fields) == 2 else float("inf")


def _quota_v1(folder: Path) -> float:
    quota = read_text(folder / "cpu.cfs_quota_us").strip()
    return _cores(quota, read_text(folder / "cpu.cfs_period_us").strip())


def _cores(quota: str, period: str) -> float:
    """Version 2 writes ``max`` for no limit, version 1 writes ``-1`` (or lacks the file)."""
    if not quota.isdigit() or not period.isdigit():
        return float("inf")
    return int(quota) / int(period)
