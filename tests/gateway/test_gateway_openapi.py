"""schemathesis sends what the OpenAPI description allows, and what it forbids, to the real gateway."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving.launcher import TritonServer
from tests.gateway.running import Gateway, gateway_process, run_gateway

EXAMPLES = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
ADDRESSES = [
    ("POST", "/v1/classify"),
    ("POST", "/v1/explain"),
    ("GET", "/v1/models"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/v1/tasks"),
    ("GET", "/v1/tasks"),
    ("GET", "/v1/tasks/{task_id}"),
    ("DELETE", "/v1/tasks/{task_id}"),
    ("POST", "/v1/tasks/{task_id}/resume"),
    ("GET", "/v1/tasks/{task_id}/results"),
    ("GET", "/v1/tasks/{task_id}/events"),
]


# Rules that no schema can state: one of `text` and `texts`, and `within` inside the text.
BEYOND_SCHEMAS = [positive_data_acceptance]


@pytest.fixture(scope="module")
def guarded(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A gateway that wants keys, as the description says, and a key."""
    file = str(tmp_path_factory.mktemp("openapi") / "keys")
    key = run_gateway("add-key", "schemathesis", "--file", file).stdout.strip()
    with gateway_process(server.grpc_url, API_KEYS_FILE=file) as running:
        yield running, key


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_every_address_answers_as_it_is_described(
    guarded: tuple[Gateway, str], method: str, path: str
) -> None:
    gateway, key = guarded
    operation = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")[path][method]
    beyond = BEYOND_SCHEMAS if method == "POST" else []

    @EXAMPLES
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        case.call_and_validate(timeout=60, headers=headers, excluded_checks=beyond)

    check()


def test_every_address_that_is_described_is_checked(gateway: Gateway) -> None:
    paths = gateway.client.get("/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == set(ADDRESSES)
