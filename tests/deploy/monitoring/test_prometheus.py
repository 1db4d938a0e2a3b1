"""A real Prometheus with deploy/monitoring's rules, before real servers, HAProxy and a gateway under load."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from deploy.cluster.balancer import PLACES
from deploy.cluster.cluster import Cluster, stable_ports
from deploy.monitoring.dashboard import ROWS
from tests.deploy.load import load
from tests.gateway.running import Gateway, gateway_process
from tests.waiting import until

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"
ON_KUBERNETES = MONITORING.parent / "kubernetes" / "components" / "monitoring" / "prometheus.yml"
MISSING = [name for name in ("haproxy", "prometheus") if not shutil.which(name, path=PLACES)]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"), reason=f"not installed: {MISSING}"
)
METRIC = re.compile(r"\b(?:haproxy_|onnxruntime_|nv_|gateway_|process_|mobilebert:)[\w:]+|\bup\b")


@contextmanager
def prometheus(folder: Path, jobs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The URL of one with our alerts, and these jobs every second."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(MONITORING / "alerts.yml")],
        "scrape_configs": list(jobs),
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (port,) = stable_ports(1)
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"], stderr=log, stdout=log
        )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(120)


def test_pods_are_found_with_their_name_and_namespace_and_others_are_left(tmp_path: Path) -> None:
    """The rules of the Kubernetes configuration, over what its API says of pods."""
    (job,) = yaml.safe_load(ON_KUBERNETES.read_text())["scrape_configs"]
    pods = [("triton", 8000), ("triton", 8002), ("haproxy", 8404), ("gateway", 8080), ("grafana", 3000)]
    targets = [found_pod(f"{name}-{port}", name, port) for name, port in pods]
    targets.append(found_pod("over", "triton", 8002, phase="Succeeded"))
    with prometheus(tmp_path, [{**without_discovery(job), "static_configs": targets}]) as url:
        until(lambda: (ask(url, "targets") or {}).get("activeTargets"))
        found = [each["labels"] for each in ask(url, "targets")["activeTargets"]]
    assert sorted((each["job"], each["namespace"], each["pod"]) for each in found) == [
        ("gateway", "films", "gateway-8080"),
        ("haproxy", "films", "haproxy-8404"),
        ("triton", "films", "triton-8002"),
    ]


def found_pod(pod: str, name: str, port: int, phase: str = "Running") -> dict[str, Any]:
    """A port of a pod as Prometheus' discovery describes it."""
    labels = {
        "namespace": "films",
        "pod_name": pod,
        "pod_phase": phase,
        "pod_label_app_kubernetes_io_name": name,
        "pod_container_port_number": str(port),
    }
    described = {f"__meta_kubernetes_{label}": value for label, value in labels.items()}
    return {"targets": [f"127.0.0.1:{port}"], "labels": described}


def without_discovery(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if not key.endswith("_sd_configs")}


def jobs_at(targets: dict[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Our jobs, but for the addresses."""
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"] for job in jobs} == targets.keys()
    return [
        {**without_discovery(job), "static_configs": [{"targets": list(targets[job["job_name"]])}]}
        for job in jobs
    ]


def ask(url: str, path: str, **parameters: str) -> Any:
    try:
        answer = requests.get(f"{url}/{path}", params=parameters, timeout=30)
    except requests.ConnectionError:  # it starts
        return []
    return answer.json().get("data", []) if answer.ok else []  # 503 while it starts


@contextmanager
def asked(gateway: Gateway) -> Iterator[None]:
    """Somebody who keeps asking the gateway."""
    over = threading.Event()

    def keep_asking() -> None:
        while not over.wait(0.1):
            gateway.client.post("/v1/classify", json={"text": "A delight."})

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def empty(url: str, queries: Sequence[str]) -> list[str]:
    """Those that return no data."""
    return [query for query in queries if not (ask(url, "query", query=query) or {}).get("result")]


def test_every_panel_and_alert_finds_its_data_under_load(published_repository: Path, tmp_path: Path) -> None:
    panels = [query for row in ROWS.values() for panel in row for query in panel.queries.values()]
    rules = (MONITORING / "alerts.yml").read_text() + (MONITORING / "prometheus-adapter.yaml").read_text()
    with Cluster(published_repository, 2, tmp_path / "cluster", log=lambda line: None) as cluster:
        ports, data = cluster.ports, str(tmp_path / "gateway")
        with gateway_process(f"127.0.0.1:{ports.grpc}", GATEWAY_DATA=data) as gateway:
            targets = {
                "triton": [f"127.0.0.1:{port}" for port in cluster.metrics_ports],
                "haproxy": [f"127.0.0.1:{ports.stats}"],
                "gateway": [gateway.url.removeprefix("http://")],
            }
            with (
                prometheus(tmp_path, jobs_at(targets)) as url,
                load(ports.http, ports.grpc, clients=1),
                asked(gateway),
            ):
                deadline = time.monotonic() + 180
                while (missing := empty(url, panels)) and time.monotonic() < deadline:
                    time.sleep(0.5)
                assert missing == []
                until(lambda: len(ask(url, "query", query="up == 1")["result"]) == 4)
                names = set(ask(url, "label/__name__/values"))
    wanted = set(METRIC.findall(rules))
    assert len(wanted) > 12
    assert wanted - names == set()
