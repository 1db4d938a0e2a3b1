"""A rival's server as a child process: in a session of its own, its log kept in a file, always ended."""

import contextlib
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.errors import BenchmarkError
from benchmarks.measure import processes
from benchmarks.paths import ROOT
from serving.processes import kill_group


class ChildServer(ABC):
    """A live server between `__enter__` and `__exit__`; subclasses say what to run and when it is ready."""

    name = "the server"
    start_timeout_s = 180.0
    folder = ROOT

    def __init__(self) -> None:
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The program and its arguments."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Its whole environment."""

    @abstractmethod
    def _all_ready(self) -> bool:
        """Whether it answers, with all of its workers."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the tree's root.

        Raises:
            BenchmarkError: the server is not running.
        """
        if self._process is None:
            raise BenchmarkError(f"{self.name} is not running: start it first")
        return self._process.pid

    def start(self) -> None:
        """Launch it and wait until it is ready. Raises BenchmarkError, with the log's last line."""
        self.launch()
        try:
            processes.wait_until(self._all_ready, self.is_alive, self.start_timeout_s, self.name)
        except BenchmarkError as error:
            lines = self.log().strip().splitlines()
            self.stop()
            raise BenchmarkError(f"{error}: {lines[-1][:300]}" if lines else str(error)) from None
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start it and return at once."""
        self._log = tempfile.NamedTemporaryFile(mode="w", suffix=".log")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End it and all of its group."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            kill_group(process)
            self._log.close()

    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What it has printed so far."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")
