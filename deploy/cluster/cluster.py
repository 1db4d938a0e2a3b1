"""Several Triton servers on this machine behind one HAProxy.

with Cluster(Path("model_repository"), replicas=3, folder=Path(".cache/cluster")) as cluster:
    requests.get(f"http://127.0.0.1:{cluster.ports.http}/v2/health/ready")
    cluster.restart_one_by_one()
"""

import http.client
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from deploy.cluster.balancer import MOST_REPLICAS, Address, Balancer, Ports
from deploy.cluster.errors import ClusterError
from serving.command_child import CommandChild
from serving.errors import ServingError
from serving.signals import wait_for
from serving.supervision import Supervisor

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
# Linux takes the ports of outgoing connections from 32,768 on, so these stay free while a server restarts.
STABLE_PORTS = range(20_000, 32_000)
START_SECONDS = 300.0
START_TRIES = 3
STOP_SECONDS = 45.0  # longer than the server's own drain
WAIT_SECONDS = 60.0  # longer than an answer may take (TIMEOUT_SERVER)


class Cluster:
    """N replicas, each a supervised `python -m serving`, and the balancer.

    `folder` holds HAProxy's socket. `settings` are variables of haproxy.cfg.
    """

    def __init__(
        self,
        model_repository: Path,
        replicas: int,
        folder: Path,
        ports: Ports | None = None,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
        settings: Mapping[str, str] | None = None,
        serving_options: Sequence[str] = (),
    ) -> None:
        if not 1 <= replicas <= MOST_REPLICAS:
            raise ClusterError(
                f"{replicas} replicas: choose 1 to {MOST_REPLICAS}; for more, use several machines"
            )
        folder.mkdir(parents=True, exist_ok=True)
        chosen = stable_ports(3 * replicas + 3)
        self.ports = ports or Ports(*(chosen.pop() for _ in range(3)))
        self.addresses = [Address(HOST, chosen.pop(), chosen.pop()) for _ in range(replicas)]
        self.metrics_ports = [chosen.pop() for _ in range(replicas)]
        self._model_repository, self._log, self._options = model_repository, log, tuple(serving_options)
        self._balancer = Balancer(self.addresses, self.ports, folder, log, settings)
        self.api = self._balancer.api
        self._replicas: list[Supervisor] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the replicas side by side, then the balancer. Raises ServingError or ClusterError."""
        self._replicas = [self._replica(number) for number in range(1, len(self.addresses) + 1)]
        self._front = Supervisor(self._balancer, self._log, ended=self._over)
        try:
            with ThreadPoolExecutor(len(self._replicas)) as pool:
                list(pool.map(Supervisor.start, self._replicas))
            self._front.start()
            self._wait(self._all_up, "a replica is not ready behind haproxy")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Refuse new connections, answer what is under way, end every process."""
        self._front.stop()
        self._stop_replicas()

    def wait(self) -> str:
        """Block until the balancer is given up; return why. If a replica is given up, the others serve."""
        wait_for(self._over)
        return self._front.failure

    def reload_balancer(self) -> None:
        """Let HAProxy read its configuration and its certificates again, without dropping a connection."""
        self._balancer.reload()

    def pid(self, number: int) -> int:
        """Process id of replica `number`, counted from 1: of its `python -m serving`."""
        child = self._replicas[number - 1].child
        assert isinstance(child, CommandChild)
        return child.pid

    def restart_one_by_one(self, report: Callable[[str], None] | None = None) -> None:
        """A rolling restart: the replicas take up new versions of the models, and no request fails.

        Each one in turn gets no new requests, answers what it has, restarts, and is back in service before
        the next. `report` gets a line a step. A replica that does not come back ends the roll, and the others
        serve on: raises ServingError or ClusterError.
        """
        report = report or self._log
        if len(self._replicas) < 2:
            raise ClusterError("a rolling restart needs two replicas: one serves while the other restarts")
        for number in range(1, len(self._replicas) + 1):
            report(f"replica {number} of {len(self._replicas)}: draining")
            self._restart(number)
            report(f"replica {number} of {len(self._replicas)}: serves again")
        report("every replica has restarted")

    def _restart(self, number: int) -> None:
        self.api.drain(number)
        self._wait(partial(self._is_idle, number), f"replica {number} still has requests")
        self._replicas[number - 1].stop()
        self._start(number)
        self.api.admit(number)
        self._wait(partial(self.api.is_up, number), f"replica {number} is not ready behind haproxy")

    def _start(self, number: int) -> None:
        """Tries several times: a supervisor repeats no failed first start, and that would end the roll."""
        for tries_left in reversed(range(START_TRIES)):
            self._replicas[number - 1] = self._replica(number)
            try:
                self._replicas[number - 1].start()
            except ServingError as error:
                if not tries_left or self._over.is_set():  # set when the cluster stops
                    raise
                self._log(f"{error}; {tries_left} more tries")
            else:
                return

    def _replica(self, number: int) -> Supervisor:
        address, metrics = self.addresses[number - 1], self.metrics_ports[number - 1]
        command = [
            *(sys.executable, "-m", "serving", "--model-repository", str(self._model_repository)),
            *("--host", address.host, "--http-port", str(address.http_port)),
            *("--grpc-port", str(address.grpc_port), "--metrics-port", str(metrics)),
            *self._options,
        ]
        child = CommandChild(
            f"triton{number}",
            command,
            partial(_is_ready, address),
            environment={**os.environ, "GATEWAY": "off"},
            folder=ROOT,
            start_timeout=START_SECONDS,
            stop_timeout=STOP_SECONDS,
            log=self._log,
        )
        return Supervisor(child, self._log)

    def _stop_replicas(self) -> None:
        with ThreadPoolExecutor(len(self._replicas)) as pool:
            list(pool.map(Supervisor.stop, self._replicas))

    def _all_up(self) -> bool:
        return all(self.api.is_up(number) for number in range(1, len(self.addresses) + 1))

    def _is_idle(self, number: int) -> bool:
        return self.api.requests_at(number) == 0

    def _wait(self, holds: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise ClusterError(f"{complaint} after {WAIT_SECONDS:g} s")
            time.sleep(0.1)


def _is_ready(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.host, address.http_port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stable_ports(count: int) -> list[int]:
    """Distinct ports that are free now and that no outgoing connection will take."""
    ports: list[int] = []
    for port in random.sample(STABLE_PORTS, len(STABLE_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            ports.append(port)
        if len(ports) == count:
            break
    return ports
