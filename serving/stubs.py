"""The processes of a tritonserver: the server's own, and a Python stub for every instance of a Python-based
model.

Triton 2.51 does not restart a dead or stopped stub: it answers the stub's requests with errors for ever, and
still says that it is ready. So this module asks the kernel, which knows at once.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

STUB = "triton_python_backend_stub"
GONE, ZOMBIE, STOPPED = "", "Z", "T"
REAPED_SECONDS = 0.1  # Triton is faster to reap a stub that it ended itself
ALWAYS_REAPED_SECONDS = 5.0  # also where a stub dies while its model loads
STOPPED_SECONDS = 0.5  # Triton gives up requests to a silent stub after 1 s
RESCAN_SECONDS = 1.0


@dataclass(frozen=True)
class Stub:
    """The process of one instance; `model` and `version` are empty where it died too early to tell."""

    pid: int
    model: str
    version: str

    def __str__(self) -> str:
        return f"the process of {self.model or 'a model'} (pid {self.pid})"


def stubs_of(server: int) -> dict[int, Stub]:
    """The stubs, dead ones included, by their process ids."""
    return {pid: _stub(pid) for pid in _children(server)}


def _children(server: int) -> Iterator[int]:
    """From the kernel's lists, which cost a tenth of a search through all processes."""
    lists = list(Path(f"/proc/{server}/task").glob("*/children"))
    if not lists:  # a kernel without them, or the server is gone
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from (child.pid for child in psutil.Process(server).children())
    for path in lists:
        with contextlib.suppress(OSError):  # that thread has just ended
            yield from map(int, path.read_text().split())


def _stub(pid: int) -> Stub:
    """A stub's first argument is the model's file: REPOSITORY/MODEL/VERSION/FILE."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        words = []
    if len(words) > 1 and words[0].endswith(STUB):
        path = Path(words[1])
        return Stub(pid, path.parent.parent.name, path.parent.name)
    return Stub(pid, "", "")


def state(pid: int) -> str:
    """The kernel's letter for the process's state, such as S, R, T or Z; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return GONE


def newest_process() -> str:
    """Id of the newest process or thread: it changes when one starts. Empty where it is not known."""
    try:
        return Path("/proc/loadavg").read_text().split()[-1]
    except (OSError, IndexError):
        return ""


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has used; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


class Watch:
    """Looks at a server's processes for those that have died or been stopped.

    serves: asks Triton whether this model and version is ready. If it is not, a dead stub may be no fault,
    but the end of a load that failed.
    """

    def __init__(
        self,
        server: int,
        serves: Callable[[Stub], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.stubs: dict[int, Stub] = {}
        self._serves, self._clock = serves, clock
        self._since: dict[tuple[int, str], float] = {}  # when a process was first seen in a bad state
        self._rescan_at, self._newest = 0.0, ""

    def ailment(self) -> str:
        """Such as "lost the process of mobilebert_fp32 (pid 12)"; empty while all are well."""
        self._rescan()
        if self._lasts(self.server, STOPPED) >= STOPPED_SECONDS:
            return "is stopped (SIGSTOP)"
        for stub in self.stubs.values():
            if self._is_lost(stub):
                return f"lost {stub}"
            if self._lasts(stub.pid, STOPPED) >= STOPPED_SECONDS:
                return f"has {stub} stopped (SIGSTOP)"
        return ""

    def meet(self) -> None:
        """Look for processes now. One that dies before it is seen has no name, and is found late."""
        self._rescan_at = 0.0
        self._rescan()

    def stubs_now(self) -> list[Stub]:
        """The stubs of the last look; any thread may ask."""
        return list(self.stubs.values())

    @property
    def living(self) -> list[int]:
        """Ids of the server's process and of the stubs that live."""
        return [self.server, *(pid for pid in self.stubs if state(pid) not in (GONE, ZOMBIE))]

    def _rescan(self) -> None:
        newest = newest_process()
        if newest == self._newest and self._clock() < self._rescan_at and not self._has_nameless():
            return
        # Read before the search: so the next look finds what starts during it.
        self._newest, self._rescan_at = newest, self._clock() + RESCAN_SECONDS
        found = stubs_of(self.server)
        # A dead stub has no command line any more. One that was seen between fork and exec had none yet.
        self.stubs = {pid: stub if stub.model else self.stubs.get(pid, stub) for pid, stub in found.items()}
        self._since = {key: since for key, since in self._since.items() if key[0] in {*found, self.server}}

    def _has_nameless(self) -> bool:
        """Whether a living stub has no name yet, as it may have been seen between fork and exec."""
        return any(not stub.model and state(stub.pid) not in (GONE, ZOMBIE) for stub in self.stubs.values())

    def _is_lost(self, stub: Stub) -> bool:
        seconds = self._lasts(stub.pid, ZOMBIE)
        if seconds < REAPED_SECONDS:
            return False
        return seconds >= ALWAYS_REAPED_SECONDS or bool(stub.model and self._serves(stub))

    def _lasts(self, pid: int, letter: str) -> float:
        """Seconds for which the process has been seen in that state, -1 when it is not."""
        if state(pid) != letter:
            self._since.pop((pid, letter), None)
            return -1.0
        return self._clock() - self._since.setdefault((pid, letter), self._clock())
