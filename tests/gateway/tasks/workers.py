"""A worker of background tasks as a process of the server's environment, and what tests do with tasks."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.running import ROOT, server_python
from tests.waiting import GENEROUS, until


class WorkerProcess:
    """A live worker; its output goes to a file."""

    def __init__(self, triton_url: str, folder: Path, **environment: str) -> None:
        self.log = folder / f"worker-{time.time_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [server_python(), "-m", "gateway.tasks"],
                cwd=ROOT,
                env=os.environ | {"TRITON_URL": triton_url, "GATEWAY_DATA": str(folder)} | environment,
                stdout=log,
                stderr=log,
            )
        until(lambda: "is ready" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(60)


@contextmanager
def worker_process(triton_url: str, folder: Path, **environment: str) -> Iterator[WorkerProcess]:
    """A worker for one test or many."""
    worker = WorkerProcess(triton_url, folder, **environment)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.stop()


def submit(api: httpx.Client, texts: list[Any], **options: Any) -> dict[str, Any]:
    """The accepted task's status."""
    answer = api.post("/v1/tasks", json=texts, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()


def finished(api: httpx.Client, task: dict[str, Any], patience: float = GENEROUS) -> dict[str, Any]:
    """The task's status when it has ended."""
    found: dict[str, Any] = {}

    def ended() -> bool:
        nonlocal found
        found = api.get(f"/v1/tasks/{task['id']}").json()
        return found["finished_at"] is not None

    until(ended, patience)
    return found


def results(api: httpx.Client, task: dict[str, Any], **parameters: Any) -> list[dict[str, Any]]:
    """The result objects."""
    answer = api.get(task["results"], params=parameters)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]
