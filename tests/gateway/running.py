"""A gateway as a process of the server's environment, as `make serve` starts it."""

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from serving.runtime import find_interpreter
from tests.waiting import until

ROOT = Path(__file__).parents[2]


def server_python() -> str:
    """The interpreter of the server's environment, which has the gateway's packages."""
    return find_interpreter(None).executable


def run_gateway(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of `python -m gateway` that ends by itself."""
    command = [server_python(), "-m", "gateway", *arguments]
    settings = os.environ | environment
    return subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60, check=check
    )


class Gateway:
    """A live gateway; `lines` are the last of its output, the access log included."""

    def __init__(self, triton_url: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [server_python(), "-m", "gateway"],
            cwd=ROOT,
            env=os.environ | {"GATEWAY_PORT": "0", "TRITON_URL": triton_url} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("gateway at "), first + self.process.stdout.read()
        self.url = first.removeprefix("gateway at ").strip()
        self.lines: deque[str] = deque(maxlen=2000)
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def logged(self, part: str) -> dict[str, Any]:
        """The access log's entry with this part; the gateway writes it after it has sent the answer."""

        def found() -> list[str]:
            return [line for line in list(self.lines) if part in line]

        until(found)
        return json.loads(found()[-1])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.client.close()
        self.process.terminate()
        status = self.process.wait(60)
        self._pump.join(10)
        return status


@contextmanager
def gateway_process(triton_url: str, **environment: str) -> Iterator[Gateway]:
    """A gateway on a free port, for one test or many."""
    gateway = Gateway(triton_url, **environment)
    try:
        yield gateway
    finally:
        gateway.stop()
