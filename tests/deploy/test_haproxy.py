"""deploy/haproxy/haproxy.cfg alone: accepted in each of its forms, and what it says without a server."""

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from clients import Limits, SentimentClient
from clients.errors import ServerUnavailable
from deploy.cluster.balancer import CONFIGURATION, DEFAULTS, MOST_REPLICAS, PLACES, Address, Balancer, Ports
from deploy.cluster.cluster import stable_ports
from serving.launcher import TritonServer
from tests.deploy.cluster.test_cluster import pytestmark  # noqa: F401 (skips where HAProxy is missing)
from tests.waiting import until


@contextmanager
def balancer(folder: Path, replicas: Sequence[Address], settings: dict[str, str]) -> Iterator[Ports]:
    ports = Ports(*stable_ports(3))
    child = Balancer(replicas, ports, folder, lambda line: None, settings)
    child.start(lambda: False)
    try:
        yield ports
    finally:
        child.stop()


def test_without_a_server_both_protocols_say_when_to_come_back(tmp_path: Path) -> None:
    with balancer(tmp_path, [Address("127.0.0.1", *stable_ports(2))], {}) as ports:
        url = f"http://127.0.0.1:{ports.http}"
        answer = requests.post(f"{url}/v2/models/sentiment/generate", json={"text": "Good."}, timeout=30)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "try again" in answer.json()["error"]
        assert requests.get(f"{url}/healthz", timeout=30).status_code == 503
        grpc = SentimentClient(f"127.0.0.1:{ports.grpc}", protocol="grpc", limits=Limits(deadline=2))
        with grpc, pytest.raises(ServerUnavailable):
            grpc.classify_one("Good.")


def test_stats_page_and_metrics_are_served(tmp_path: Path) -> None:
    with balancer(tmp_path, [Address("127.0.0.1", *stable_ports(2))], {}) as ports:
        url = f"http://127.0.0.1:{ports.stats}"
        assert "triton_grpc" in requests.get(f"{url}/stats", timeout=30).text
        metrics = requests.get(f"{url}/metrics", timeout=30).text
        assert 'haproxy_backend_active_servers{proxy="triton_http"} 0' in metrics


def test_request_that_gets_no_place_in_time_is_refused_with_advice(
    tmp_path: Path, server: TritonServer
) -> None:
    """One place at the server, and a client that sends half a request keeps it."""
    replica = Address("127.0.0.1", server.options.http_port, server.options.grpc_port)
    path = "/v2/models/sentiment/generate"
    with balancer(tmp_path, [replica], {"SERVER_MAXCONN": "1", "SLOWSTART": "0"}) as ports:
        url = f"http://127.0.0.1:{ports.http}"
        until(lambda: requests.get(f"{url}/healthz", timeout=30).ok, 30)
        with socket.create_connection(("127.0.0.1", ports.http)) as slow:
            slow.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{".encode())
            time.sleep(1.0)
            began = time.monotonic()
            answer = requests.post(url + path, json={"text": "Good."}, timeout=30)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert 1.5 < time.monotonic() - began < 10  # timeout queue
        until(lambda: requests.post(url + path, json={"text": "Good."}, timeout=30).ok, 30)


def test_tls_is_terminated_for_http_and_grpc(tmp_path: Path, server: TritonServer) -> None:
    certificate = self_signed(tmp_path)
    https, grpcs = stable_ports(2)
    settings = {"TLS_CERTIFICATE": str(certificate), "HTTPS_PORT": str(https), "GRPCS_PORT": str(grpcs)}
    replica = Address("127.0.0.1", server.options.http_port, server.options.grpc_port)
    with balancer(tmp_path, [replica], settings) as ports:
        path = "v2/models/sentiment/generate"
        text = {"text": "A delight."}
        secure = requests.post(
            f"https://localhost:{https}/{path}", json=text, verify=str(certificate), timeout=30
        )
        plain = requests.post(f"http://127.0.0.1:{ports.http}/{path}", json=text, timeout=30)
        assert secure.json()["score"] == pytest.approx(plain.json()["score"])
        context = ssl.create_default_context(cafile=str(certificate))
        context.set_alpn_protocols(["h2"])
        assert alpn(context, grpcs) == "h2"


def alpn(context: ssl.SSLContext, port: int) -> str | None:
    with (
        socket.create_connection(("localhost", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        return secure.selected_alpn_protocol()


def self_signed(folder: Path) -> Path:
    """Certificate and key for localhost in one PEM file, as HAProxy wants it."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    both.write_text(certificate.read_text() + key.read_text())
    return both


@pytest.mark.parametrize(
    "variables",
    [
        {"TRITON_DNS": "triton.default.svc", "TRITON_SLOTS": "10"},
        {
            f"TRITON_{number}_{key}": value
            for number in range(1, MOST_REPLICAS + 1)
            for key, value in {"HOST": "127.0.0.1", "HTTP": "1", "GRPC": "2"}.items()
        },
    ],
    ids=["servers from DNS", "as many servers as the file names"],
)
def test_haproxy_accepts_the_configuration_without_a_warning(
    variables: dict[str, str], tmp_path: Path
) -> None:
    ports = {"HTTP_PORT": "8000", "GRPC_PORT": "8001", "STATS_PORT": "8404"}
    environment = {**DEFAULTS, **ports, **variables, "HAPROXY_SOCKET": str(tmp_path / "socket")}
    command = [shutil.which("haproxy", path=PLACES), "-c", "-f", str(CONFIGURATION)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr
