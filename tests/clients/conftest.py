from collections.abc import Iterator

import pytest

from clients.endpoint import Protocol
from tests.clients import fakes


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture
def fake(protocol: Protocol) -> Iterator[fakes.FakeTriton]:
    """A server that fails on demand, over each protocol in turn."""
    start = fakes.http_server if protocol == "http" else fakes.grpc_server
    with start() as running:
        yield running
