"""Starting and ending child processes so that none is left behind."""

import contextlib
import errno
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MARK = "SERVING_PROCESS_TREE"  # in the environment of a child and of all that it starts
SHARED_MEMORY = Path("/dev/shm")
SETTLE_IN = Path(__file__).with_name("settle_in.py")


def spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
    """Start in a process group of its own, so that a terminal's Ctrl-C reaches only the launcher, which then
    drains.

    If the launcher is killed (SIGKILL), the kernel sends the child SIGTERM; tritonserver's Python stubs watch
    their parent and end, too. The kernel also sends it when the calling thread ends, so call this from a
    thread that lives on. The child may open as many files as the system lets it, at most 65,536 (see
    settle_in.py). `folder` becomes the working directory, from which embedded Python imports first. Raises
    FileNotFoundError where there is no such command.
    """
    if shutil.which(command[0], path=environment.get("PATH")) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(SETTLE_IN), str(os.getpid()), *command],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def stop(process: subprocess.Popen[str], timeout: float, while_draining: Callable[[], None]) -> bool:
    """SIGTERM, wait for the drain, then kill what is left of the group. True when it ended by itself.

    A KeyboardInterrupt meanwhile ends the wait: the person asked twice.
    """
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout
    try:
        while process.poll() is None and time.monotonic() < deadline:
            while_draining()
            time.sleep(0.05)
    except KeyboardInterrupt:
        pass
    drained = process.poll() is not None
    kill_group(process)
    return drained


def kill_group(process: subprocess.Popen[str]) -> None:
    """The group has the process's id, which the kernel does not give away while a member lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_marked(mark: str, timeout: float = 10.0) -> None:
    """SIGKILL to every process whose variable MARK contains this mark. Their shared memory is removed.

    A launcher that was killed leaves a tritonserver behind, in a session of its own. It drains, and holds the
    ports for the whole exit timeout, as nobody closes idle connections. The mark in its environment finds it
    (Jenkins' ProcessTreeKiller works so, too); this needs no control groups.
    """
    deadline = time.monotonic() + timeout
    while (pids := _marked(mark)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    remove_shared_memory(f"*_{mark}_")


def own_mark() -> str:
    """The mark that this process was started with, or a new one. It names what may be left behind."""
    return os.environ.get(MARK, "").rpartition("/")[2] or secrets.token_hex(8)


def _marked(mark: str) -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or it has just ended
            for variable in entry.read_bytes().split(b"\0"):
                if variable.startswith(f"{MARK}=".encode()) and mark.encode() in variable:
                    pids.append(int(entry.parent.name))
    return pids


def remove_shared_memory(prefix: str, folder: Path = SHARED_MEMORY) -> None:
    """Remove the regions of a server that could not do so itself."""
    for region in folder.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
