"""`python -m serving` with its gateway: one start, one drain, and both come back when they are killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from serving.checks import free_ports
from tests.gateway.running import ROOT
from tests.waiting import until

LONG = {"texts": ["a good film " * 170] * 160}


class Service:
    """A launcher with its children."""

    def __init__(self, repository: Path, data: Path, **environment: str) -> None:
        http, grpc, metrics, gateway = map(str, free_ports("127.0.0.1", 4))
        ports = {"HTTP_PORT": http, "GRPC_PORT": grpc, "METRICS_PORT": metrics, "GATEWAY_PORT": gateway}
        settings = {"GATEWAY": "on", "GATEWAY_DATA": str(data), "ACCESS_LOG": str(data / "access.log")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--model-repository", str(repository)],
            cwd=ROOT,
            env=os.environ | ports | settings | {"PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.printed = "".join(iter(self.process.stdout.readline, "Ctrl-C stops it.\n"))
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        self.url = f"http://127.0.0.1:{gateway}"
        self.http_port, self.grpc_port = int(http), int(grpc)

    def classify(self, body: object = "A warm film.") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/classify", json=body, timeout=60)

    def answers(self) -> bool:
        try:
            return self.classify().status_code == 200
        except httpx.HTTPError:
            return False

    def child(self, name: str) -> psutil.Process:
        children = psutil.Process(self.process.pid).children(recursive=True)
        [found] = [each for each in children if f"{name} " in " ".join(each.cmdline()[:3]) + " "]
        return found

    def ports_of_triton(self) -> list[int]:
        """The port of each connection that the gateway has to Triton."""
        ports = [each.raddr.port for each in self.child("-m gateway").net_connections() if each.raddr]
        return [port for port in ports if port in (self.http_port, self.grpc_port)]


@contextmanager
def served(repository: Path, data: Path, **environment: str) -> Iterator[Service]:
    service = Service(repository, data, **environment)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.communicate()
        psutil.wait_procs(service.children, timeout=20)


def test_it_starts_comes_back_and_drains(published_repository: Path, tmp_path: Path) -> None:
    with served(published_repository, tmp_path) as service, ThreadPoolExecutor() as pool:
        assert re.search(rf"^  REST +{service.url}  ", service.printed, re.MULTILINE)
        assert service.classify().json()[0]["label"] in ("negative", "positive")

        first = service.child("-m gateway")
        first.kill()
        until(service.answers)
        assert service.child("-m gateway").pid != first.pid

        task = httpx.post(f"{service.url}/v1/tasks", json=["A warm film."] * 300, timeout=60).json()
        service.child("-m gateway.tasks").kill()
        until(lambda: httpx.get(f"{service.url}/v1/tasks/{task['id']}", timeout=60).json()["state"] == "done")

        service.child("tritonserver").kill()
        down = service.classify()
        assert down.status_code == 503
        assert int(down.headers["retry-after"]) >= 1
        assert down.headers["content-type"] == "application/problem+json"
        until(service.answers)

        answer = pool.submit(service.classify, LONG)
        until(lambda: "gateway_backlog_texts 160.0" in httpx.get(f"{service.url}/metrics", timeout=60).text)
        children = psutil.Process(service.process.pid).children(recursive=True)
        service.process.send_signal(signal.SIGTERM)
        assert len(answer.result().json()) == len(LONG["texts"])
        _, log = service.process.communicate(timeout=120)
        assert service.process.returncode == 0
        _, said, after = log.partition("Draining requests in flight; once more to stop at once\n")
        assert said
        assert all(line.startswith("worker: ") for line in after.splitlines()), (
            "only the worker says good-bye"
        )
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
        assert (tmp_path / "access.log").read_text().count("/v1/classify") >= 4


def test_everything_shares_one_connection_to_triton_over_grpc(
    published_repository: Path, tmp_path: Path
) -> None:
    with served(published_repository, tmp_path) as service:
        assert len(service.classify([f"Film {number}." for number in range(300)]).json()) == 300
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(service.classify, [f"Film number {number}." for number in range(24)]))
        assert {answer.status_code for answer in answers} == {200}
        assert service.ports_of_triton() == [service.grpc_port]
