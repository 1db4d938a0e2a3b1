"""Malformed HTTP requests: refused, each by itself, and the server goes on answering others rightly."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from serving.launcher import TritonServer
from tests.hostile.conftest import Check
from tests.hostile.http_attacks import ATTACKS, Attack
from tests.hostile.verdict import http_wrongs, marker_of
from tests.hostile.wire import exchange

BATCH = 100
AT_ONCE = 8


def attack_once(server: TritonServer, seed: int, number: int) -> tuple[Attack, int, list[str]]:
    """The kind of the request, its status and what is wrong with its reply."""
    generator = random.Random(f"{seed} {number}")
    attack = ATTACKS[number % len(ATTACKS)]
    marker = marker_of(number)
    data = attack(generator, marker)
    reply = exchange(server.http_url, data)
    found = [
        f"number {number}, {attack.__name__}: {each}; {reply.body[:300]!r}"
        for each in http_wrongs(data, reply, marker)
    ]
    return attack, reply.status, found


def test_malformed_requests_cost_nobody_anything(
    server: TritonServer, still_right: Check, seed: int, malformed_requests: int
) -> None:
    statuses: Counter[tuple[str, int]] = Counter()
    wrong: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, malformed_requests, BATCH):
            numbers = range(start, min(start + BATCH, malformed_requests))
            for attack, status, found in pool.map(lambda number: attack_once(server, seed, number), numbers):
                statuses[attack.__name__, status] += 1
                wrong += found
            still_right()
    assert not wrong, "\n".join(wrong[:20])
    refused = {attack for attack, status in statuses if status != 200}
    assert refused == {attack.__name__ for attack in ATTACKS}, (
        "an attack that is never refused attacks nothing"
    )
