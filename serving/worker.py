"""The worker of the gateway's background tasks as a supervised child: started after the gateway, and stopped
before it."""

import os
from collections.abc import Callable

from serving.command_child import CommandChild
from serving.launcher import TritonServer
from serving.pump import Sink
from serving.runtime import PACKAGE, find_interpreter

ANNOUNCEMENT = "worker is ready"


class WorkerChild(CommandChild):
    """`python -m gateway.tasks` for this server, run by the server's Python; ready when it says so.

    Its settings come from environment variables (docs/guides/tasks.md).
    """

    def __init__(self, server: TritonServer, log: Sink) -> None:
        self._server, self._announced = server, False
        super().__init__("worker", [], lambda: self._announced, folder=PACKAGE.parent, log=self._hear)
        self._told = log

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start, and return when it takes work. Triton must have started, so that its port is known."""
        self._announced = False
        self._command = [find_interpreter(self._server.options.python).executable, "-m", "gateway.tasks"]
        self._environment = {**os.environ, "TRITON_URL": self._server.grpc_url}
        super().start(cancelled)

    def _hear(self, line: str) -> None:
        if line == f"worker: {ANNOUNCEMENT}":
            self._announced = True
        else:
            self._told(line)
