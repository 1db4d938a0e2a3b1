"""How the cost grows: reviews through the bulk client, and rows in one request."""

import time

from benchmarks.load.callers import in_requests_of
from benchmarks.load.texts import Review, bulk_reviews
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena
from benchmarks.servers.contestants import OURS, PADDED
from clients import SentimentClient

PADDED_ROWS = 8


def measure_bulk(stage: Stage, arena: Arena, sizes: tuple[int, ...]) -> list[dict]:
    """Seconds and tokens of 1 to N reviews through SentimentClient.classify, for both ensembles."""
    reviews = bulk_reviews(stage.checkpoint, max(sizes))
    address = arena.triton.http_url.removeprefix("http://")
    rows = []
    for size in sizes:
        for model in OURS:
            if model in stage.failures:
                continue
            stage.progress(f"bulk: {size} reviews through {model}")
            with (
                stage.failures.cost_only(model, f"{size} reviews"),
                SentimentClient(address, model=model) as client,
            ):
                client.classify([reviews[0].text])
                rows.append({"model": model, **_bulk(client, reviews[:size])})
    return rows


def _bulk(client: SentimentClient, reviews: list[Review]) -> dict:
    texts, seconds = [review.text for review in reviews], []
    # A single review is over in milliseconds: repeat it to get a median.
    for _ in range(max(1, 20 // len(reviews))):
        began = time.perf_counter()
        client.classify(texts)
        seconds.append(time.perf_counter() - began)
    return {"reviews": len(reviews), "tokens": _tokens(reviews), "seconds": seconds}


def measure_batch_sizes(stage: Stage, arena: Arena) -> list[dict]:
    """One client, requests of 1 to 32 rows, in alternating rounds; the padded rival takes 8 rows at most."""
    settings = stage.settings
    cases = [
        (size, key)
        for _ in range(settings.batch_rounds)
        for size in settings.batch_sizes
        for key in (PADDED, *OURS)
        if key != PADDED or size <= PADDED_ROWS
    ]
    rows = []
    for size, key in cases:
        if key not in stage.failures:
            with stage.failures.cost_only(key, f"requests of {size} rows"):
                rows.append(_batch(stage, arena, size, key))
    return rows


def _batch(stage: Stage, arena: Arena, size: int, key: str) -> dict:
    stage.progress(f"requests of {size} rows: {key}")
    sent = stage.reviews[: max(size, 8)]
    began = time.perf_counter()
    in_requests_of(arena.contestants[key].batch, [review.text for review in sent], size)
    return {
        "contestant": key,
        "rows": size,
        "tokens": _tokens(sent),
        "seconds": time.perf_counter() - began,
    }


def _tokens(reviews: list[Review]) -> int:
    return sum(review.tokens for review in reviews)
