"""Malformed gRPC calls: refused, each by itself, and the server goes on answering others rightly."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc

from serving.launcher import TritonServer
from tests.hostile.conftest import Check
from tests.hostile.grpc_attacks import ATTACKS, Attack
from tests.hostile.verdict import marker_of, wrongs

BATCH = 100
AT_ONCE = 8
SECONDS = 60
# What docs/guides/security.md says of gRPC. INTERNAL is for bytes that are no protobuf, and for nothing else.
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE,
}


def call(channel: grpc.Channel, method: str, data: bytes) -> tuple[str, bytes]:
    """The status code's name and whatever came back, as bytes."""
    path = f"/inference.GRPCInferenceService/{method}"
    try:
        if method == "ModelStreamInfer":
            replies = list(channel.stream_stream(path)(iter([data]), timeout=SECONDS))
            return "OK", b"".join(replies)
        return "OK", channel.unary_unary(path)(data, timeout=SECONDS)
    except grpc.RpcError as error:
        return error.code().name, (error.details() or "").encode()


def attack_once(channel: grpc.Channel, seed: int, number: int) -> tuple[Attack, str, list[str]]:
    """The kind of the call, its status and what is wrong with its reply."""
    generator = random.Random(f"{seed} {number}")
    attack = ATTACKS[number % len(ATTACKS)]
    marker = marker_of(number)
    method, data = attack(generator, marker)
    status, reply = call(channel, method, data)
    found = wrongs(data, reply, marker)
    unparsable = (status, reply) == ("INTERNAL", b"Unable to parse request")
    if status != "OK" and grpc.StatusCode[status] not in REFUSALS and not unparsable:
        found.append(f"status {status}")
    return (
        attack,
        status,
        [f"number {number}, {attack.__name__}, {method}: {each}; {reply[:300]!r}" for each in found],
    )


def test_malformed_calls_cost_nobody_anything(
    server: TritonServer, still_right: Check, seed: int, malformed_requests: int
) -> None:
    statuses: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with grpc.insecure_channel(server.grpc_url) as channel, ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, malformed_requests, BATCH):
            numbers = range(start, min(start + BATCH, malformed_requests))
            for attack, status, found in pool.map(lambda number: attack_once(channel, seed, number), numbers):
                statuses[attack.__name__, status] += 1
                wrong += found
            still_right()
    assert not wrong, "\n".join(wrong[:20])
    refused = {attack for attack, status in statuses if status != "OK"}
    assert refused == {attack.__name__ for attack in ATTACKS}, (
        "an attack that is never refused attacks nothing"
    )
