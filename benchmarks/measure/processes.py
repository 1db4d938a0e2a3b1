"""Trees of processes: which cores they get, how much processor time they take, when they answer."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from benchmarks.errors import BenchmarkError


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Children started inside inherit an affinity of ``count`` cores.

    Raises:
        BenchmarkError: this process may not use that many.
    """
    before = os.sched_getaffinity(0)
    if count > len(before):
        raise BenchmarkError(f"{count} cores are wanted, this process may use {len(before)}")
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[psutil.Process]:
    """The process and all its descendants; empty when it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Processor time that the whole tree has used so far, in seconds."""
    return sum(map(_cpu_seconds, tree(pid)))


def cores_used(pid: int, seconds: float) -> float:
    """Cores that the tree keeps busy over the next ``seconds``: 0.0 is idle, 2.0 is two cores."""
    before, began = cpu_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - began)


def memory_mib(pid: int) -> float:
    """Proportional set size of the tree in MiB: pages that its processes share count once."""
    return sum(map(_pss, tree(pid))) / 2**20


def wait_until(ready: Callable[[], bool], alive: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll ``ready``.

    Raises:
        BenchmarkError: ``what`` died, or was not ready in ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive():
            raise BenchmarkError(f"{what} ended before it was ready")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what} was not ready within {seconds:.0f} s")
        time.sleep(0.02)


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
