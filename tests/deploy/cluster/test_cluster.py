"""Three real servers behind a real HAProxy, and what happens to their clients when one of them falls."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from clients import SentimentClient
from deploy.cluster.balancer import PLACES
from deploy.cluster.cluster import Cluster
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from export.publishing.versions import rollback
from tests.deploy.load import TEXTS, Report, load
from tests.synthetic import write_checkpoint
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not shutil.which("haproxy", path=PLACES) and not os.environ.get("CI"),
    reason="haproxy is not installed (Debian: apt-get install haproxy)",
)
REPLICAS = 3
HANGS = 5  # TIMEOUT_SERVER: a request at a server that hangs is sent to another after so many seconds


@pytest.fixture(scope="module")
def repository(published_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this module's own: tests publish into it."""
    return Path(shutil.copytree(published_repository, tmp_path_factory.mktemp("cluster") / "models"))


@pytest.fixture(scope="module")
def cluster(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("haproxy")
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        print(line)  # shown with a failure

    settings = {"TIMEOUT_SERVER": f"{HANGS}s", "SLOWSTART": "1s"}
    with Cluster(repository, REPLICAS, folder, log=log, settings=settings) as live:
        live.lines = lines
        yield live


@pytest.fixture(scope="module")
def right(cluster: Cluster) -> dict[str, float]:
    """Each text's score, from one replica asked directly."""
    return scores(cluster.addresses[0].http_port)


def scores(port: int) -> dict[str, float]:
    with SentimentClient(f"127.0.0.1:{port}") as client:
        return {text: client.classify_one(text).score for text in TEXTS}


@pytest.fixture(autouse=True)
def all_up(cluster: Cluster) -> None:
    until(lambda: all(cluster.api.is_up(number) for number in range(1, REPLICAS + 1)), 120)


def triton(cluster: Cluster, number: int) -> psutil.Process:
    """The tritonserver process of a replica."""
    children = psutil.Process(cluster.pid(number)).children(recursive=True)
    return next(child for child in children if child.name().startswith("tritonserver"))


def grow(reports: dict[str, Report], count: int = 20) -> None:
    """Wait until every kind of client has so many answers more."""
    aims = {kind: report.answered + count for kind, report in reports.items()}
    until(lambda: all(report.answered >= aims[kind] for kind, report in reports.items()), 120)


def test_requests_of_every_protocol_reach_all_replicas(cluster: Cluster, right: dict[str, float]) -> None:
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        grow(reports)
    for report in reports.values():
        assert report.failures == []
        assert report.wrong(right) == []
    rows = [row for row in cluster.api.statistics() if row["svname"].startswith("triton")]
    used = {(row["pxname"], row["svname"]) for row in rows if int(row["stot"]) > 0}
    assert len(used) == 2 * REPLICAS


def test_rolling_restart_fails_no_request(cluster: Cluster, right: dict[str, float]) -> None:
    before = {cluster.pid(number) for number in range(1, REPLICAS + 1)}
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        cluster.restart_one_by_one()
        grow(reports)
    assert before.isdisjoint(cluster.pid(number) for number in range(1, REPLICAS + 1))
    for report in reports.values():
        assert report.failures == []
        assert report.wrong(right) == []


def test_killed_replica_costs_the_sdk_nothing_and_comes_back(
    cluster: Cluster, right: dict[str, float]
) -> None:
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        grow(reports)
        triton(cluster, 1).send_signal(signal.SIGKILL)
        grow(reports)
        until(lambda: all(cluster.api.is_up(number) for number in range(1, REPLICAS + 1)), 120)
        grow(reports)
    assert reports["sdk"].failures == []
    # Those in flight there, at most: two clients of each raw kind.
    assert len(reports["http"].failures) <= 2
    assert len(reports["grpc"].failures) <= 2
    for report in reports.values():
        assert report.wrong(right) == []


def test_killed_launcher_of_a_replica_is_started_again(cluster: Cluster, right: dict[str, float]) -> None:
    pid = cluster.pid(2)

    def regions() -> int:
        return len(list(Path("/dev/shm").glob(f"mobilebert_{cluster.addresses[1].http_port}_*")))

    before = regions()
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        grow(reports)
        os.kill(pid, signal.SIGKILL)
        until(lambda: cluster.pid(2) != pid)
        until(lambda: any("triton2 is ready again" in line for line in list(cluster.lines)))
        until(lambda: cluster.api.is_up(2))
        grow(reports)
    assert regions() == before > 0, "shared memory of the dead is left"
    assert reports["sdk"].failures == []
    for report in reports.values():
        assert report.wrong(right) == []


def test_requests_at_a_replica_that_hangs_are_answered_by_another(
    cluster: Cluster, right: dict[str, float]
) -> None:
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        grow(reports)
        hung = triton(cluster, 3)
        hung.suspend()
        try:
            until(lambda: not cluster.api.is_up(3), 30)
            time.sleep(HANGS + 1)
            grow(reports)
        finally:
            if hung.is_running():
                hung.resume()
    assert reports["sdk"].failures == []
    assert len(reports["http"].failures) <= 2
    assert len(reports["grpc"].failures) <= 2
    for report in reports.values():
        assert report.wrong(right) == []


def test_reload_of_haproxy_drops_no_connection(cluster: Cluster, right: dict[str, float]) -> None:
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        grow(reports)
        for _ in range(2):
            cluster.reload_balancer()
            grow(reports)
    for report in reports.values():
        assert report.failures == []
        assert report.wrong(right) == []


def test_rolling_update_and_rollback_fail_no_request(
    cluster: Cluster, repository: Path, right: dict[str, float], tmp_path: Path
) -> None:
    newer = load_checkpoint(write_checkpoint(tmp_path / "newer", seed=7))
    with load(cluster.ports.http, cluster.ports.grpc) as reports:
        publish(newer, repository, {"mobilebert_fp32": build_fp32(newer)})
        cluster.restart_one_by_one()
        updated = scores(cluster.ports.http)
        rollback(repository)
        cluster.restart_one_by_one()
        grow(reports)
    assert all(abs(updated[text] - right[text]) > 1e-4 for text in TEXTS), "the versions must differ"
    for report in reports.values():
        assert report.failures == []
        assert report.wrong(right, updated) == []
    assert scores(cluster.ports.http) == pytest.approx(right, abs=1e-5)


def test_administration_is_closed_through_the_balancer(cluster: Cluster) -> None:
    url = f"http://127.0.0.1:{cluster.ports.http}"
    for method, path in (
        ("POST", "/v2/repository/index"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/models/sentiment/trace/setting"),
        ("GET", "/v2/logging"),
    ):
        assert requests.request(method, url + path, timeout=30).status_code == 403
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{cluster.ports.grpc}")
    with pytest.raises(InferenceServerException, match="PERMISSION_DENIED"):
        client.get_model_repository_index()
    assert client.is_model_ready("sentiment")


def test_log_is_json_with_a_request_id_and_without_texts(cluster: Cluster) -> None:
    cluster.lines.clear()
    url = f"http://127.0.0.1:{cluster.ports.http}/v2/models/sentiment/generate"
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-ID": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-00"}
    answer = requests.post(url, json={"text": "a secret"}, headers=headers, timeout=30)
    assert answer.headers["X-Request-ID"] == "mine-1"
    until(lambda: any("mine-1" in line for line in list(cluster.lines)))
    line = next(line for line in cluster.lines if "mine-1" in line)
    entry = json.loads(line.removeprefix("haproxy: "))
    assert (entry["request_id"], entry["trace_id"]) == ("mine-1", trace)
    assert entry["status"] == 200
    assert entry["server"].startswith("triton")
    assert not any("secret" in line for line in list(cluster.lines))
