"""The same malformed requests against the gateway: no 5xx at all, no leak, and Triton never notices."""

import random
from collections import Counter

import pytest

from serving.launcher import TritonServer
from tests.gateway.conftest import gateway  # noqa: F401 (a fixture)
from tests.gateway.running import Gateway
from tests.hostile import http_attacks
from tests.hostile.conftest import Check
from tests.hostile.verdict import marker_of, wrongs
from tests.hostile.wire import exchange, request

COUNT = 30
CLASSIFY = b"/v1/classify"
ATTACKS = (
    http_attacks.wrong_types_and_names,
    http_attacks.malformed_json,
    http_attacks.deep_nesting,
    http_attacks.compressed,
    http_attacks.truncated,
    http_attacks.chunked,
    http_attacks.header_floods,
    http_attacks.wrong_start,
)


def redirected(data: bytes) -> bytes:
    """A request for Triton, sent to the gateway's own path."""
    for path in http_attacks.ENDPOINTS:
        data = data.replace(path.encode(), CLASSIFY)
    return data


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_gateway_refuses_in_good_order(
    attack: http_attacks.Attack,
    gateway: Gateway,  # noqa: F811
    still_right: Check,
    seed: int,
) -> None:
    statuses: Counter[int] = Counter()
    for number in range(COUNT):
        generator = random.Random(f"{seed} {attack.__name__} {number}")
        data = redirected(attack(generator, marker_of(number)))
        reply = exchange(gateway.url, data)
        statuses[reply.status] += 1
        assert reply.status < 500, reply.body[:300]
        assert not wrongs(data, reply.body, marker_of(number)), reply.body[:300]
    assert set(statuses) - {200}, "an attack that is never refused attacks nothing"
    still_right()


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a", "inputs": [{"name": "x", "datatype": "INT64", "shape": [1, %d], "data": [1]}]}'
        % (1 << 55),
        b'{"text": "a", "parameters": {"classification": 1}}',
        b'{"text": ' + b"[" * 4_000_000,
    ],
    ids=["a huge shape", "classification of a label", "bottomless nesting"],
)
def test_what_ends_triton_stops_at_the_gateway(
    body: bytes,
    gateway: Gateway,  # noqa: F811
    server: TritonServer,
    still_right: Check,
) -> None:
    reply = exchange(
        gateway.url, request("POST", CLASSIFY.decode(), body, {"Content-Type": "application/json"})
    )
    assert 400 <= reply.status < 500
    still_right()
