from collections.abc import Iterator

import httpx
import pytest

from serving.launcher import TritonServer
from tests.gateway.running import Gateway, gateway_process


@pytest.fixture(scope="session")
def gateway(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before the shared Triton server; leave it as you found it."""
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(server.grpc_url, GATEWAY_DATA=str(folder)) as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> httpx.Client:
    """An HTTP client of the gateway."""
    return gateway.client
