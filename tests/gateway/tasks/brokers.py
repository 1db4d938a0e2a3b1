"""Real brokers on free ports with folders of their own: RabbitMQ and Redis, where they are installed."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.waiting import until

RABBITMQ_LIB = Path("/usr/lib/rabbitmq")


def needed(command: str, package: str) -> str:
    """The path of a command; skips the test where a user's machine lacks it, and fails in CI."""
    path = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {command}: apt-get install {package}")
        pytest.skip(f"{command} is not installed: apt-get install {package}")
    return path


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Redis:
    """redis-server without persistence: what it knows dies with it."""

    def __init__(self, folder: Path) -> None:
        self._command = needed("redis-server", "redis-server")
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([self._command, *options], stdout=log, stderr=log)
        until(lambda: accepts(self._port))

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(60)

    def stop(self) -> None:
        """SIGTERM."""
        self._process.terminate()
        self._process.wait(60)


class RabbitMq:
    """rabbitmq-server as a node of its own: its name, ports, cookie and data are this test's."""

    def __init__(self, folder: Path) -> None:
        self._command = self._script("rabbitmq-server")
        self._port, self._folder = free_port(), folder
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self._environment = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self.start()

    def start(self) -> None:
        """Starts it on its data, and returns when it takes connections."""
        with (self._folder / "rabbitmq.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._command], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._ready)

    def kill(self) -> None:
        """SIGKILL to the node."""
        os.killpg(self._process.pid, 9)
        self._process.wait(60)
        until(lambda: not accepts(self._port))
        time.sleep(1.0)  # its name service forgets the node when the connection breaks

    def stop(self) -> None:
        """SIGKILL to the node and to its name service."""
        self.kill()
        epmd = shutil.which("epmd")
        if epmd:
            subprocess.run([epmd, "-kill"], env=self._environment, capture_output=True, timeout=30)

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "rabbitmq.log").read_text()
        return accepts(self._port)

    @staticmethod
    def _script(name: str) -> str:
        path = needed(name, name)
        # Debian's wrapper insists on the user rabbitmq; the release's own script runs as anybody.
        inner = [*RABBITMQ_LIB.glob("bin/rabbitmq-server"), *RABBITMQ_LIB.glob("lib/*/sbin/rabbitmq-server")]
        return str(inner[0]) if inner else path
