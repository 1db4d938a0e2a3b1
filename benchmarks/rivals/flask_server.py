"""The Flask app under gunicorn, as a child process with the settings of one contestant."""

import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.errors import BenchmarkError
from benchmarks.measure import processes
from benchmarks.measure.machine import usable_cores
from benchmarks.paths import ROOT
from benchmarks.rivals import gunicorn_config
from serving.processes import kill_group

START_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class FlaskSettings:
    """How gunicorn and torch are set up; 0 leaves torch's threads and the batch's rows to their defaults."""

    workers: int
    threads: int = 1
    torch_threads: int = 0
    fast_dtype: str = "float16"
    batch_size: int = 0

    @property
    def label(self) -> str:
        """For tables, such as ``2 workers x 1 thread, torch 1``."""
        torch_threads = self.torch_threads or "default"
        return f"{self.workers} workers x {self.threads} threads, torch {torch_threads}"


def recommended(cores: int | None = None) -> FlaskSettings:
    """What the app's README advises: workers twice the cores, everything else as it comes."""
    return FlaskSettings(workers=2 * (cores or usable_cores()))


class FlaskServer:
    """A live gunicorn between `__enter__` and `__exit__`."""

    def __init__(self, checkpoint: Path, settings: FlaskSettings) -> None:
        self.checkpoint, self.settings = checkpoint, settings
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The gunicorn master's process id.

        Raises:
            BenchmarkError: the server is not running.
        """
        if self._process is None:
            raise BenchmarkError("the Flask app is not running: start it first")
        return self._process.pid

    def start(self) -> None:
        """Launch gunicorn and wait until every worker has loaded its models."""
        self.launch()
        try:
            processes.wait_until(self._all_ready, self.is_alive, START_TIMEOUT_S, "the Flask app")
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start gunicorn and return at once."""
        self._log = tempfile.NamedTemporaryFile(mode="w", suffix=".log")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End gunicorn and its workers."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            kill_group(process)
            self._log.close()

    def _command(self) -> list[str]:
        settings = self.settings
        bind = f"--bind=127.0.0.1:{self.port}"
        size = [f"--workers={settings.workers}", f"--threads={settings.threads}"]
        rest = ["--config=python:benchmarks.rivals.gunicorn_config", "--log-level=warning", "--timeout=600"]
        return [sys.executable, "-m", "gunicorn", bind, *size, *rest, "benchmarks.rivals.flask_app:app"]

    def _environment(self) -> dict[str, str]:
        settings = {
            "CHECKPOINT": str(self.checkpoint.resolve()),
            "FAST_DTYPE": self.settings.fast_dtype,
            "BATCH_SIZE": str(self.settings.batch_size),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        }
        if self.settings.torch_threads:
            settings["TORCH_THREADS"] = str(self.settings.torch_threads)
        return {**os.environ, **settings}

    def is_alive(self) -> bool:
        """Whether gunicorn's master runs."""
        return self._process is not None and self._process.poll() is None

    def _all_ready(self) -> bool:
        log = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        return log.count(gunicorn_config.READY) >= self.settings.workers
