"""A child that is a command line: its process, its readiness probe, its output, its drain."""

import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from serving import processes
from serving.errors import ServingError
from serving.pump import Sink, pump

POLL_SECONDS = 0.1
KEPT_LINES = 50


class CommandChild:
    """Runs `command` in a process group of its own, and shows its output: the child's name, then the line.

    is_ready: called every 0.1 s after the start until it is true; without one, a child is ready as soon as
        it runs. It must answer fast, and False where nothing listens yet.
    environment: the child's whole environment; None: this process's. folder: its working directory.
    start_timeout: seconds to become ready. stop_timeout: seconds from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        is_ready: Callable[[], bool] = lambda: True,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 30.0,
        log: Sink = lambda line: print(line, file=sys.stderr),
    ) -> None:
        self.name, self._command, self._is_ready = name, command, is_ready
        self._environment, self._folder = environment, folder
        self._mark = secrets.token_hex(8)
        self._start_timeout, self._stop_timeout = start_timeout, stop_timeout
        self._log = log
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child, and of its process group. Raises ServingError without one."""
        if self._process is None:
            raise ServingError(f"{self.name} is not running")
        return self._process.pid

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start, and return when it is ready. Raises ServingError with the child's last line."""
        environment = dict(os.environ if self._environment is None else self._environment)
        # Marks add up: a child of this child has both.
        environment[processes.MARK] = f"{environment.get(processes.MARK, '')}/{self._mark}"
        try:
            process = processes.spawn(self._command, environment, self._folder or Path.cwd())
        except OSError as error:
            raise ServingError(f"{self.name} did not start: {error.strerror}: {self._command[0]}") from None
        self._process = process
        assert process.stdout is not None
        pump(process.stdout, self._show)
        deadline = time.monotonic() + self._start_timeout
        while not self._is_ready():
            if process.poll() is not None:
                raise ServingError(f"{self.name} did not start, it {ending(process)}{self._last_line()}")
            if cancelled() or time.monotonic() > deadline:
                self.kill()
                raise ServingError(f"{self.name} was not ready within {self._start_timeout:g} s")
            self.rest(POLL_SECONDS)

    def _show(self, line: str) -> None:
        self._last.append(line)
        self._log(f"{self.name}: {line.removeprefix(f'{self.name}: ')}")

    def _last_line(self) -> str:
        return f": {self._last[-1]}" if self._last else ""

    def ailment(self) -> str:
        """How the process ended; empty while it runs."""
        return "" if self._process is None or self._process.poll() is None else ending(self._process)

    def rest(self, seconds: float) -> None:
        """Wait so many seconds, or until the process ends."""
        wait_for_end([self._process.pid] if self._process else [], seconds)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left after the stop timeout."""
        if (process := self._process) is not None:
            processes.stop(process, self._stop_timeout, lambda: None)
            processes.kill_marked(self._mark)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the whole process group, and to whatever its processes have started."""
        if (process := self._process) is not None:
            processes.kill_group(process)
            processes.kill_marked(self._mark)


def ending(process: subprocess.Popen[str]) -> str:
    """Such as "was killed by SIGKILL" or "ended by itself with status 1"."""
    status = process.returncode
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended by itself with status {status}"


def wait_for_end(pids: Sequence[int], seconds: float) -> None:
    """Wait until one of these processes ends, at most so many seconds."""
    poll, descriptors = select.poll(), []
    try:
        for pid in pids:
            descriptors.append(os.pidfd_open(pid))
            poll.register(descriptors[-1], select.POLLIN)
        poll.poll(seconds * 1000)
    except OSError:  # gone already, or a kernel without process descriptors
        time.sleep(seconds / 10)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
