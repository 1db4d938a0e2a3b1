"""The Flask app under gunicorn, as a child process with the settings of one contestant."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.machine import usable_cores
from benchmarks.rivals import gunicorn_config
from benchmarks.rivals.child_server import ChildServer


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


class FlaskServer(ChildServer):
    """A live gunicorn; it is ready when every worker has loaded its models."""

    name = "the Flask app"

    def __init__(self, checkpoint: Path, settings: FlaskSettings) -> None:
        super().__init__()
        self.checkpoint, self.settings = checkpoint, settings

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

    def _all_ready(self) -> bool:
        return self.log().count(gunicorn_config.READY) >= self.settings.workers
