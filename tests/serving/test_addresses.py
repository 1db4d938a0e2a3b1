"""IPv6 and shared ports: how addresses are written, and servers that live side by side."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as grpcclient

from clients import SentimentClient
from serving.addresses import for_evhtp, in_url, with_port
from serving.checks import free_ports
from serving.launcher import TritonServer

TOKENIZER = ("mobilebert_tokenizer",)


@pytest.mark.parametrize(
    ("host", "url", "front"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost", "localhost"),
        ("::1", "[::1]", "ipv6:::1"),
        ("fe80::1", "[fe80::1]", "ipv6:fe80::1"),
    ],
)
def test_each_place_gets_its_own_spelling(host: str, url: str, front: str) -> None:
    assert in_url(host) == url
    assert with_port(host, 8000) == f"{url}:8000"
    assert for_evhtp(host) == front


def test_urls_of_a_server_on_ipv6_have_brackets(tmp_path: Path) -> None:
    server = TritonServer(tmp_path, host="::1")
    assert server.http_url == "http://[::1]:8000"
    assert server.grpc_url == "[::1]:8001"
    assert server.metrics_url == "http://[::1]:8002/metrics"


@pytest.fixture
def ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")


@pytest.mark.usefixtures("ipv6")
def test_a_server_on_ipv6_answers_on_every_port_and_drains(published_repository: Path) -> None:
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(published_repository, host="::1", **ports) as server:
        assert "nv_inference_count" in requests.get(server.metrics_url, timeout=30).text
        with SentimentClient(server.http_url) as client:
            (alone,) = client.classify(["A delight."])
        with SentimentClient(server.grpc_url, protocol="grpc") as client:
            assert client.classify(["A delight."]) == [alone]
        with requests.Session() as idle:  # its connection is in /proc/net/tcp6, and would hold up the drain
            idle.get(f"{server.http_url}/v2/health/ready", timeout=30)
            server.stop()
    assert "Exit timeout expired" not in "\n".join(server.log_lines)


@pytest.fixture
def twins(published_repository: Path) -> Iterator[list[TritonServer]]:
    """Two servers with the same ports on different addresses."""
    http, grpc, metrics = free_ports("127.0.0.1", 3)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    with ExitStack() as stack:
        yield [
            stack.enter_context(TritonServer(published_repository, host=host, load_models=TOKENIZER, **ports))
            for host in ("127.0.0.1", "127.0.0.2")
        ]


def test_stopping_a_server_leaves_the_shared_memory_of_another_on_the_same_port(
    twins: list[TritonServer],
) -> None:
    first, second = twins
    assert (first.options.http_port, first.options.host) == (second.options.http_port, "127.0.0.1")
    regions = {path.name for path in Path("/dev/shm").glob(f"mobilebert_{second.options.http_port}_*")}
    first.stop()
    left = {path.name for path in Path("/dev/shm").glob(f"mobilebert_{second.options.http_port}_*")}
    assert left
    assert left < regions
    with grpcclient.InferenceServerClient(second.grpc_url) as client:
        text = grpcclient.InferInput("text", [1, 1], "BYTES")
        text.set_data_from_numpy(np.array([[b"still here"]], dtype=object))
        assert client.infer("mobilebert_tokenizer", [text]).as_numpy("num_tokens").item() > 2
