"""perf_analyzer's sweeps: closed loop, open loop with Poisson arrivals, HTTP and gRPC, three text lengths."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.callers import Caller, one_by_one
from benchmarks.load.texts import LENGTHS, Review
from benchmarks.perf_analyzer.command import Load, Protocol, run
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena
from benchmarks.servers.contestants import OURS, PADDED, SENTIMENT, SENTIMENT_FAST

PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")
PROBES = 4


@dataclass(frozen=True)
class Case:
    """One run of perf_analyzer."""

    model: str
    load: Load
    protocol: Protocol = "http"
    length: str = "imdb"

    @property
    def label(self) -> str:
        """Such as ``padded over http, worst texts, 8 clients``."""
        load = self.load
        offered = f"{load.concurrency} clients" if load.concurrency else f"{load.requests_per_second:g}/s"
        return f"{self.model} over {self.protocol}, {self.length} texts, {offered}"


def closed_loop_cases(concurrency: tuple[int, ...]) -> list[Case]:
    """Both ensembles over HTTP and the fast one over gRPC, at each concurrency."""
    loads = [Load(concurrency=count) for count in concurrency]
    return [
        case
        for load in loads
        for case in (Case(SENTIMENT, load), Case(SENTIMENT_FAST, load), Case(SENTIMENT_FAST, load, "grpc"))
    ]


def open_loop_cases(capacity: float, shares: tuple[float, ...]) -> list[Case]:
    """The fast ensemble at shares of its ``capacity`` (reviews a second); arrivals are Poisson."""
    rates = [max(1.0, round(share * capacity, 1)) for share in shares]
    loads = [Load(requests_per_second=rate) for rate in rates]
    return [Case(SENTIMENT_FAST, load, protocol) for load in loads for protocol in PROTOCOLS]


def length_cases(concurrency: int) -> list[Case]:
    """Ours and the padded rival on short, IMDB's and worst-case texts."""
    load = Load(concurrency=concurrency)
    return [Case(model, load, length=length) for length in LENGTHS for model in (PADDED, *OURS)]


def measure_cases(stage: Stage, arena: Arena, cases: list[Case]) -> list[dict]:
    """Run perf_analyzer on each case; one entry a case, none for one that fails."""
    rows = []
    for case in cases:
        stage.progress(f"perf_analyzer: {case.label}")
        with stage.failures.cost_only(case.label):
            rows.append(_measure(stage, arena, case))
    return rows


def _measure(stage: Stage, arena: Arena, case: Case) -> dict:
    triton = arena.triton
    url = triton.grpc_url if case.protocol == "grpc" else triton.http_url.removeprefix("http://")
    reviews = stage.texts.by_length[case.length]
    alone = seconds_alone(arena.contestants[case.model].single, reviews)
    requests = case.load.requests_in(stage.settings.perf_window, alone)
    measured = run(case.model, url, case.protocol, case.load, reviews, requests, alone)
    return {"length": case.length, "mean_tokens": stage.texts.mean_tokens(case.length), **measured.to_json()}


def seconds_alone(caller: Caller, reviews: Sequence[Review]) -> float:
    """Of one request when there are no others: the mean of a few, the first not counted."""
    caller([reviews[0].text])
    began = time.perf_counter()
    one_by_one(caller, [review.text for review in reviews[:PROBES]])
    return (time.perf_counter() - began) / PROBES
