"""HAProxy's runtime API: statistics, and the state of one server.

https://docs.haproxy.org/2.6/management.html#9.3
"""

import csv
import socket
from pathlib import Path

from deploy.cluster.errors import ClusterError

BACKENDS = ("triton_http", "triton_grpc")
TIMEOUT = 10.0


class RuntimeApi:
    """Speaks through the socket of a running HAProxy. Servers are counted from 1, as in haproxy.cfg."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def command(self, line: str) -> str:
        """Answer to one command. Raises ClusterError where HAProxy does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT)
                connection.connect(str(self._path))
                connection.sendall(line.encode() + b"\n")
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
        except OSError as error:
            raise ClusterError(f"haproxy does not answer: {error.strerror or error}") from None

    def worker(self) -> int:
        """Process id of the worker that serves now; 0 where none answers."""
        try:
            lines = self.command("show info").splitlines()
        except ClusterError:
            return 0
        return next((int(line.partition(":")[2]) for line in lines if line.startswith("Pid:")), 0)

    def drain(self, server: int) -> None:
        """Send nothing new there; what is under way goes on."""
        self._set_state(server, "drain")

    def admit(self, server: int) -> None:
        """Send requests there again, once its health checks pass."""
        self._set_state(server, "ready")

    def requests_at(self, server: int) -> int:
        """Requests under way there."""
        return sum(int(row["scur"] or 0) for row in self._rows(server))

    def is_up(self, server: int) -> bool:
        """Whether it takes requests on both ports."""
        return all(row["status"].startswith(("UP", "no check")) for row in self._rows(server))

    def statistics(self) -> list[dict[str, str]]:
        """A dictionary for each frontend, backend and server."""
        return list(csv.DictReader(self.command("show stat").removeprefix("# ").splitlines()))

    def _rows(self, server: int) -> list[dict[str, str]]:
        return [row for row in self.statistics() if row["svname"] == f"triton{server}"]

    def _set_state(self, server: int, state: str) -> None:
        for backend in BACKENDS:
            if answer := self.command(f"set server {backend}/triton{server} state {state}").strip():
                raise ClusterError(f"haproxy: {answer}")
