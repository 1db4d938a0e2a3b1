"""A supervised server, what its log says, and clients of every kind whose answers are checked."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from benchmarks.soak.callers import Http, all_callers
from benchmarks.soak.questions import Answer, Question, Questions
from benchmarks.soak.traffic import Traffic
from serving.launcher import TritonServer
from serving.service import Service
from serving.supervision import RestartPolicy
from tests.waiting import until

PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
TEXTS = [
    "A warm, funny and clever film.",
    "Dull, and far too long; I left before the end.",
    "",
    "Ünïcode \U0001f600 <br /> ok",
    *(" ".join(["good", "bad", "never", "a", "film"][n % 5] for n in range(words)) for words in (3, 17, 60)),
]


@dataclass
class Log:
    """Lines of the launcher and the server, with the time at which each came."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    def times(self, part: str) -> list[float]:
        """When lines with this part came."""
        return [when for when, line in list(self.lines) if part in line]

    def wait_for_new(self, part: str) -> Callable[[], None]:
        """Call the result to wait for a further line with this part."""
        before = len(self.times(part))
        return lambda: until(lambda: len(self.times(part)) > before)


@dataclass
class Health:
    """Asks `/v2/health/ready` as a load balancer does: (asked at, answered at, status or 0 for no answer)."""

    url: str
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    def __enter__(self) -> "Health":
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            asked = time.monotonic()
            try:
                status = requests.get(f"{self.url}/v2/health/ready", timeout=10).status_code
            except requests.RequestException:
                status = 0
            self.samples.append((asked, time.monotonic(), status))

    def between(self, begin: float, end: float) -> list[int]:
        """Statuses of what was asked and answered in that time."""
        return [status for asked, answered, status in self.samples if begin < asked and answered < end]


@dataclass
class Supervised:
    """A live, supervised server."""

    server: TritonServer
    service: Service
    log: Log

    @property
    def restarts(self) -> int:
        return self.service.supervisors[0].restarts.count


@pytest.fixture(scope="module")
def supervised(published_repository: Path) -> Iterator[Supervised]:
    """Shared by the tests of a module; each leaves it ready."""
    log = Log()
    server = TritonServer(published_repository, log=log, **PORTS)
    with Service([server], log, RestartPolicy(limit=20)) as service:
        yield Supervised(server, service, log)


@pytest.fixture
def traffic(supervised: Supervised) -> Iterator[Traffic]:
    """Two clients of every kind at work; when the test ends, no answer has been wrong and none is lost."""
    with traffic_to(supervised.server) as traffic:
        yield traffic
    assert_sound(traffic)


def traffic_to(server: TritonServer, threads: int = 2) -> Traffic:
    """Clients of every kind, `threads` of each."""
    caller = Http(server.http_url.removeprefix("http://"))

    def alone(model: str, text: str) -> Answer:
        return caller.ask(Question(model, (text,)))[0]

    questions = Questions(("sentiment",), TEXTS, alone)
    caller.close()
    return Traffic(all_callers(server), questions, threads)


def assert_sound(traffic: Traffic) -> None:
    """Nothing wrong, nothing lost, everybody was answered."""
    assert traffic.tally.of("wrong") == 0, traffic.tally.details
    assert traffic.tally.of("lost") == 0, traffic.tally.details
    assert {kind for kind, outcome in traffic.tally.counts if outcome == "answered"} == set(traffic.kinds)


def more_answers(traffic: Traffic, count: int = 50) -> None:
    """Wait until so many further questions have been answered."""
    before = traffic.tally.of("answered")
    until(lambda: traffic.tally.of("answered") >= before + count)
