"""Requests that end this Triton release whatever we set: supervised, the server is back and right again.

They are why docs/guides/security.md says that Triton's own ports are for trusted callers, and all others get
the gateway.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from serving.launcher import TritonServer
from serving.service import Service
from serving.supervision import RestartPolicy
from tests.hostile.http_attacks import MODEL, tensor
from tests.hostile.mutations import dumps
from tests.hostile.wire import exchange, request
from tests.waiting import until

TEXT = "A great film."


@pytest.fixture(scope="module")
def supervised(published_repository: Path) -> Iterator[tuple[TritonServer, Service]]:
    """A server that these tests may kill."""
    server = TritonServer(
        published_repository, log=lambda line: None, http_port=0, grpc_port=0, metrics_port=0
    )
    with Service([server], lambda line: None, RestartPolicy(limit=20)) as service:
        yield server, service


def huge_shape(server: TritonServer) -> None:
    """Triton reserves what a numeric tensor declares, before it looks at the data: std::bad_alloc."""
    text = {**tensor("mark"), "datatype": "INT64", "shape": [1, 1 << 55], "data": [1]}
    exchange(server.http_url, request("POST", f"{MODEL}/infer", dumps({"inputs": [text]})))


def bottomless_nesting(server: TritonServer) -> None:
    """More than 256 MiB of stack: the JSON parser calls itself for each bracket."""
    exchange(server.http_url, request("POST", f"{MODEL}/generate", b'{"text":' + b"[" * 4_000_000))


def classification_of_a_label(server: TritonServer) -> None:
    """The classification extension divides by the size of an element, which a string does not have."""
    text = grpcclient.InferInput("text", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([[TEXT.encode()]], np.object_))
    label = grpcclient.InferRequestedOutput("label", class_count=1)
    with grpcclient.InferenceServerClient(server.grpc_url) as client, pytest.raises(InferenceServerException):
        client.infer("sentiment", [text], outputs=[label], client_timeout=60)


@pytest.mark.parametrize("kill", [huge_shape, bottomless_nesting, classification_of_a_label])
def test_a_supervised_server_comes_back_and_is_right(
    kill: Callable[[TritonServer], None],
    supervised: tuple[TritonServer, Service],
    reference: Callable[[str], np.ndarray],
) -> None:
    server, service = supervised
    restarts = service.supervisors[0].restarts
    before = restarts.count
    kill(server)
    until(lambda: restarts.count > before, seconds=60)
    until(lambda: answers(server) is not None, seconds=120)
    np.testing.assert_allclose(answers(server), reference(TEXT), atol=2e-5)


def answers(server: TritonServer) -> list[float] | None:
    """The text's probabilities, or None while nobody answers."""
    try:
        reply = requests.post(f"{server.http_url}{MODEL}/generate", json={"text": TEXT}, timeout=30)
    except requests.RequestException:
        return None
    return reply.json()["probabilities"] if reply.status_code == 200 else None
