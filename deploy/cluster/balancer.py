"""HAProxy as a supervised child, with deploy/haproxy/haproxy.cfg."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster.errors import ClusterError
from deploy.cluster.runtime_api import RuntimeApi
from serving.command_child import CommandChild, wait_for_end

CONFIGURATION = Path(__file__).parents[1] / "haproxy" / "haproxy.cfg"
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # Debian keeps it out of a user's PATH
MOST_REPLICAS = 8  # haproxy.cfg names so many
SOFT_STOP_SECONDS = 10.0
RELOAD_SECONDS = 30.0
# What haproxy.cfg reads, unless the caller's environment says otherwise.
DEFAULTS = {
    "BIND_ADDRESS": "127.0.0.1",
    "STATS_ADDRESS": "127.0.0.1",
    "HTTPS_PORT": "8443",
    "GRPCS_PORT": "8444",
    "TIMEOUT_SERVER": "30s",
    "SERVER_MAXCONN": "256",
    "SLOWSTART": "5s",
}


@dataclass(frozen=True)
class Address:
    """Where one replica listens."""

    host: str
    http_port: int
    grpc_port: int


@dataclass(frozen=True)
class Ports:
    """Where clients and the stats page find the balancer."""

    http: int
    grpc: int
    stats: int


class Balancer(CommandChild):
    """One HAProxy in master-worker mode. Its runtime socket is `folder`/haproxy.sock."""

    def __init__(
        self,
        replicas: Sequence[Address],
        ports: Ports,
        folder: Path,
        log: Callable[[str], None],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        path = folder.resolve() / "haproxy.sock"
        self.api = RuntimeApi(path)
        environment = {
            **DEFAULTS,
            **os.environ,
            **(settings or {}),
            **_servers(replicas),
            "HTTP_PORT": str(ports.http),
            "GRPC_PORT": str(ports.grpc),
            "STATS_PORT": str(ports.stats),
            "HAPROXY_SOCKET": str(path),
        }
        super().__init__(
            "haproxy",
            [_checked(environment), "-W", "-f", str(CONFIGURATION)],
            lambda: bool(self.api.worker()),
            environment=environment,
            start_timeout=10.0,
            log=log,
        )

    def reload(self) -> None:
        """Read the configuration again.

        The listening sockets pass to the new worker, the old one answers what it has.
        Raises ClusterError when there is no new worker after 30 s.
        """
        before = self.api.worker()
        os.kill(self.pid, signal.SIGUSR2)
        deadline = time.monotonic() + RELOAD_SECONDS
        while self.api.worker() in (0, before):
            if time.monotonic() > deadline:
                raise ClusterError("haproxy did not reload: see its log, and check the file with haproxy -c")
            time.sleep(0.05)

    def stop(self) -> None:
        """Answer what is under way, take nothing new, end."""
        if self._process is not None and not self.ailment():
            os.kill(self.pid, signal.SIGUSR1)
            wait_for_end([self.pid], SOFT_STOP_SECONDS)
        super().stop()


def _checked(environment: Mapping[str, str]) -> str:
    """Path of HAProxy, after it has accepted its configuration. Raises ClusterError."""
    binary = shutil.which("haproxy", path=PLACES)
    if binary is None:
        raise ClusterError("haproxy is not installed: apt-get install haproxy (2.6 or newer)")
    command = [binary, "-c", "-f", str(CONFIGURATION)]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"haproxy refuses its configuration: {done.stderr.strip()}")
    return binary


def _servers(replicas: Sequence[Address]) -> dict[str, str]:
    return {
        f"TRITON_{number}_{name}": str(value)
        for number, replica in enumerate(replicas, start=1)
        for name, value in zip(
            ("HOST", "HTTP", "GRPC"), (replica.host, replica.http_port, replica.grpc_port), strict=True
        )
    }
