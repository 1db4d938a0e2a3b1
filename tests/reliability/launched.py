"""`python -m serving` as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from serving.checks import free_ports

ROOT = Path(__file__).parents[2]


class Launched:
    """Its process, and where it listens."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.http_port, self.grpc_port, metrics = free_ports("127.0.0.1", 3)
        ports = {"HTTP_PORT": self.http_port, "GRPC_PORT": self.grpc_port, "METRICS_PORT": metrics}
        settings = {name: str(port) for name, port in ports.items()} | {"GATEWAY": "off"}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | settings | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> str:
        """What it printed; all of it, where it ended instead."""
        assert self.process.stdout is not None
        return "".join(iter(self.process.stdout.readline, "Ctrl-C stops it.\n"))


def serving(repository: Path, *options: str) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "serving", "--model-repository", str(repository), *options]


@contextmanager
def launched(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Launched]:
    """Start it; at the end nothing of it is left."""
    found = Launched(command, environment)
    try:
        yield found
    finally:
        children = []
        if found.process.poll() is None:
            children = psutil.Process(found.process.pid).children(recursive=True)
            found.process.kill()
        found.process.communicate()
        for child in psutil.wait_procs(children, timeout=20)[1]:
            child.kill()
