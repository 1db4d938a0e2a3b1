"""Starting and ending child processes so that none is left behind."""

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
MARK = "SERVING_PROCESS_TREE"  # in the environment of a child and of all that it starts
MOST_FILES = 65_536  # each connection is one; some programs walk through all that they may open
# For each thread of the child. Triton's JSON parser takes 270 bytes of stack for each "[", and overflowing
# the 8 MiB of a usual thread ends the server: 40,000 of them are enough. Only address space is reserved.
STACK_BYTES = 256 << 20


def spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
    """Start in a process group of its own, so that a terminal's Ctrl-C reaches only the launcher, which then
    drains.

    Should the launcher die without a word (SIGKILL), the kernel sends the child SIGTERM; tritonserver's
    Python stubs watch their parent and follow. The kernel ties that to the calling thread, so call this from
    one that lives on. The child may open as many files as the system lets it, at most MOST_FILES. `folder`
    becomes the working directory, from which embedded Python imports first.
    """
    return subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=_settle_in(os.getpid()),
    )


def _settle_in(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)

    def in_child() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
        _widen_stacks()

    return in_child


def _widen_stacks() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
    # Unlimited means 2 MiB for threads.
    if soft == resource.RLIM_INFINITY or soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


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
    """The group's id is the process's, which stays reserved while any member lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_marked(mark: str, timeout: float = 10.0) -> None:
    """SIGKILL to every process whose MARK holds this one, and an end to their shared memory.

    A launcher that was killed leaves a tritonserver behind, in a session of its own. It drains, and as nobody
    closes idle connections, that takes the whole exit timeout; all the while it holds the ports. A cookie in
    the environment finds it, as Jenkins' ProcessTreeKiller does, where no control group can.
    """
    deadline = time.monotonic() + timeout
    while (pids := _marked(mark)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    remove_shared_memory(f"*_{mark}_")


def own_mark() -> str:
    """The mark that this process was started with, or a new one: a name for what it may leave behind."""
    return os.environ.get(MARK, "").rpartition("/")[2] or secrets.token_hex(8)


def _marked(mark: str) -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or it has just ended
            for variable in entry.read_bytes().split(b"\0"):
                if variable.startswith(f"{MARK}=".encode()) and mark.encode() in variable:
                    pids.append(int(entry.parent.name))
    return pids


def remove_shared_memory(prefix: str, folder: Path = Path("/dev/shm")) -> None:
    """Regions of a server that could not clean up after itself."""
    for region in folder.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
