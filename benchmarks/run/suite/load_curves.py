"""Latency and throughput of every contestant over concurrency, in alternating rounds."""

from collections.abc import Iterable

from benchmarks.load.closed_loop import LoadResult, closed_loop
from benchmarks.rivals.chosen import RIVALS
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena
from benchmarks.servers.contestants import (
    FLASK_BEST,
    FLASK_BFLOAT16,
    FLASK_LATENCY,
    FLASK_RECOMMENDED,
    PADDED,
    PADDED_UNBATCHED,
    Contestant,
    tuned,
)

OTHER_SERVERS = [key for rival in RIVALS for key in (rival, tuned(rival))]
# Fewer levels where the curve would only repeat itself: workers that fight over the cores answer less than
# one review a second, a single worker only queues, the unbatched rival is like the batched one, and 32
# clients wait as 16 do.
LEVELS = {
    FLASK_RECOMMENDED: (1, 4, 16),
    FLASK_BEST: (1, 2, 4, 8, 16),
    FLASK_LATENCY: (1, 2),
    FLASK_BFLOAT16: (1, 4, 16),
    PADDED: (1, 2, 4, 8, 16),
    PADDED_UNBATCHED: (1, 16),
    **dict.fromkeys(OTHER_SERVERS, (1, 16)),
}
# No target is read from the contestants of ROUNDS, so they are measured less often. The recommended Flask
# setting takes a quarter of a minute a window with several clients.
ROUNDS = {FLASK_BFLOAT16: 2, PADDED_UNBATCHED: 2, **dict.fromkeys(OTHER_SERVERS, 2)}
ROUNDS_OF_A_CROWD = {FLASK_RECOMMENDED: 1}


def plan(rounds: dict[int, int], keys: Iterable[str]) -> list[tuple[int, int, str]]:
    """(round, concurrency, contestant) in the order of measurement: contestants alternate innermost."""
    contestants = list(keys)
    return [
        (number, concurrency, key)
        for number in range(max(rounds.values()))
        for concurrency, wanted in sorted(rounds.items())
        for key in contestants
        if concurrency in LEVELS.get(key, (concurrency,))
        and number < min(wanted, _most_rounds(key, concurrency))
    ]


def _most_rounds(key: str, concurrency: int) -> float:
    most = ROUNDS_OF_A_CROWD if concurrency > 1 and key in ROUNDS_OF_A_CROWD else ROUNDS
    return most.get(key, float("inf"))


def measure_load(stage: Stage, arena: Arena, rounds: dict[int, int]) -> list[dict]:
    """One entry a window: contestant, round, and what `LoadResult.to_json` says.

    A contestant that fails keeps the windows that it had, and gets no more.
    """
    for key, why in arena.failed.items():
        stage.failures.add(key, why)
    for key, contestant in arena.contestants.items():
        with stage.failures.cost_only(key, "the first request"):
            contestant.single([stage.reviews[0].text])
    results = []
    for number, concurrency, key in plan(rounds, arena.contestants):
        doing = f"{concurrency} clients, round {number + 1}"
        if key in stage.failures:
            continue
        stage.progress(f"{key}, {doing}")
        with stage.failures.cost_only(key, doing):
            result = _window(stage, arena.contestants[key], concurrency, number)
            results.append({"contestant": key, "round": number, **result.to_json()})
    return results


def _window(stage: Stage, contestant: Contestant, concurrency: int, number: int) -> LoadResult:
    # Each round starts elsewhere in the texts, at the same place for every contestant.
    reviews = stage.reviews
    start = 8 * (7 * number + concurrency) % len(reviews)
    return closed_loop(
        contestant.single, reviews[start:] + reviews[:start], concurrency, stage.settings.window
    )
