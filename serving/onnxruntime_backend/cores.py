"""How many processor cores this process may really use: its affinity mask and its cgroup's quota."""

import math
import os
from collections.abc import Callable
from pathlib import Path


def usable_cores() -> int:
    """At least 1: the smaller of the affinity mask and the whole cores of the cgroup quota."""
    return max(1, math.floor(min(len(os.sched_getaffinity(0)), cgroup_quota())))


def cgroup_quota(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """CPU quota in cores, ``inf`` when there is none.

    A limit set on any ancestor binds too, so the smallest one on the way to the root counts. Inside a
    container the path in ``/proc/self/cgroup`` is the host's and may not exist; the root is then the
    container's own.
    """
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return float("inf")
    return min((_quota_of_line(line, root) for line in lines), default=float("inf"))


def _quota_of_line(line: str, root: Path) -> float:
    """One line is ``hierarchy:controllers:path``; version 2 has an empty list of controllers."""
    _, controllers, path = line.split(":", 2)
    if not controllers:
        return _smallest_quota(root, path, _quota_v2)
    if "cpu" in controllers.split(","):
        mounts = (root / controllers, root / "cpu")
        return min(_smallest_quota(mount, path, _quota_v1) for mount in mounts)
    return float("inf")


def _smallest_quota(mount: Path, path: str, read: Callable[[Path], float]) -> float:
    folder = mount / path.lstrip("/")
    folders = [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]
    return min(read(each) for each in folders)


def _quota_v2(folder: Path) -> float:
    fields = _read(folder / "cpu.max").split()
    return _cores(*fields) if len(fields) == 2 else float("inf")


def _quota_v1(folder: Path) -> float:
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    return _cores(quota, _read(folder / "cpu.cfs_period_us").strip())


def _cores(quota: str, period: str) -> float:
    """Version 2 writes ``max`` for no limit, version 1 writes ``-1`` (or lacks the file)."""
    if not quota.isdigit() or not period.isdigit():
        return float("inf")
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
