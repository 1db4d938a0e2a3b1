"""The queries of the Flask app's benchmark, for pytest-benchmark. `benchmarks.run.suite.table` starts it.

"Basic" sends one request a text, one after another, as the app's own benchmark did; "batch" sends the list:
in one request to the app, through the bulk client to ours.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.callers import flask_caller, one_by_one, triton_caller
from benchmarks.run.suite.table import QUERIES, SINGLES, SPEC_VARIABLE, contestants_of
from clients import SentimentClient

_PATH = os.environ.get(SPEC_VARIABLE)
SPEC: dict[str, Any] = json.loads(Path(_PATH).read_text(encoding="utf-8")) if _PATH else {}
CASES = [
    pytest.param(query, contestant, block, id=f"{query}-{contestant}-{block}")
    for block in range(SPEC.get("blocks", 0))
    for query in QUERIES
    for contestant in contestants_of(query)
    if (query in SINGLES or block == 0) and SPEC.get(contestant, True)
]


@pytest.mark.parametrize(("query", "contestant", "block"), CASES)
def test_query(benchmark: Any, query: str, contestant: str, block: int) -> None:
    """One block of rounds; every round must answer every text."""
    texts = SPEC["texts"][query]
    run = _flask(query) if contestant == "flask" else _triton(query, contestant)
    rounds, warmup = (SPEC["rounds"], 1) if query in SINGLES else (1, 0)
    answers = benchmark.pedantic(run, args=(texts,), rounds=rounds, warmup_rounds=warmup)
    assert len(answers) == len(texts)


def _flask(query: str) -> Callable[[list[str]], list[Any]]:
    if "batch" in query:
        return flask_caller(SPEC["flask"], "batch")
    single = flask_caller(SPEC["flask"], "fast_single" if "fast" in query else "single")
    return lambda texts: one_by_one(single, texts)


def _triton(query: str, model: str) -> Callable[[list[str]], list[Any]]:
    if "batch" in query:
        client = SentimentClient(SPEC["triton"], model=model)
        return client.classify
    single = triton_caller(f"http://{SPEC['triton']}", model)
    return lambda texts: one_by_one(single, texts)
