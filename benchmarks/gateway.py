"""`python -m benchmarks.gateway`: what the REST gateway costs beside raw Triton.

One Triton server, one gateway before it. The same clients send the same reviews, one a request, in turn to
Triton's own /v2/models/sentiment/infer (JSON) and to the gateway's /v1/classify. Rounds interleave the two,
in alternating order, so that other work of the machine affects both equally. Verdicts are medians of the
rounds' ratios and differences. Exit status 1 where a target is missed.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load.callers import Caller, HttpCaller, triton_caller
from benchmarks.load.closed_loop import LoadResult, closed_loop
from benchmarks.load.texts import Review, read_texts
from benchmarks.measure.processes import memory_mib
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.fp32_server import fp32_server, with_layers
from serving.launcher import TritonServer
from serving.runtime import PACKAGE, find_interpreter

MANY = 16
MODEL = "sentiment"
TRITON, GATEWAY = "raw Triton", "gateway"
LEAST_SHARE = 0.90  # of raw Triton's reviews/s with 16 clients
MOST_MS = 1.5  # more p50 for a lone client


@dataclass
class GatewayCaller:
    """One text a request, as a person's program would send it."""

    http: HttpCaller

    def __call__(self, texts: Sequence[str]) -> list[str]:
        return [self.http.post({"text": text})[0]["label"] for text in texts]


@dataclass(frozen=True)
class Round:
    """One measurement of each: a lone client, and a crowd."""

    alone: dict[str, LoadResult]
    crowd: dict[str, LoadResult]

    @property
    def share(self) -> float:
        """The gateway's reviews/s of raw Triton's, with the crowd."""
        return self.crowd[GATEWAY].reviews_per_second / self.crowd[TRITON].reviews_per_second

    @property
    def more_ms(self) -> float:
        """The gateway's p50 less raw Triton's, a lone client."""
        return self.alone[GATEWAY].latency_ms(50) - self.alone[TRITON].latency_ms(50)


@contextmanager
def gateway(server: TritonServer) -> Iterator[tuple[str, int]]:
    """A gateway process before this server: its URL and process id."""
    python = find_interpreter(server.options.python).executable
    settings = {"GATEWAY_PORT": "0", "ACCESS_LOG": os.devnull, "TRITON_URL": server.grpc_url}
    process = subprocess.Popen(
        [python, "-m", "gateway"],
        cwd=PACKAGE.parent,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("gateway at ").strip(), process.pid
    finally:
        process.terminate()
        process.wait(30)


def measure(
    callers: dict[str, Caller], reviews: Sequence[Review], clients: int, seconds: float, number: int
) -> Round:
    """One round; every other one in the opposite order."""
    order = list(callers) if number % 2 else list(reversed(callers))
    alone = {name: closed_loop(callers[name], reviews, 1, seconds) for name in order}
    crowd = {name: closed_loop(callers[name], reviews, clients, seconds) for name in order}
    return Round(alone, crowd)


def table(rounds: Sequence[Round], clients: int) -> Table:
    """Medians over the rounds."""
    found = Table("", "p50 ms, 1 client", "p99 ms", f"reviews/s, {clients} clients", "p50 ms", "p99 ms")
    for name in (TRITON, GATEWAY):
        alone, crowd = [each.alone[name] for each in rounds], [each.crowd[name] for each in rounds]
        speed = median(each.reviews_per_second for each in crowd)
        found.add_row(name, _ms(alone, 50), _ms(alone, 99), f"{speed:.1f}", _ms(crowd, 50), _ms(crowd, 99))
    return found


def _ms(results: Sequence[LoadResult], percent: float) -> str:
    return f"{median(each.latency_ms(percent) for each in results):.2f}"


def main(
    checkpoint: Annotated[Path, typer.Option()] = SHIPPED_CHECKPOINT,
    layers: Annotated[int, typer.Option(help="Of a copy with random weights; 0: as it is.")] = 0,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    clients: Annotated[int, typer.Option(min=2, help="Of a crowd; its target is set for 16.")] = MANY,
    seconds: Annotated[float, typer.Option(help="Of each of a round's four windows.")] = 5.0,
    reviews: Annotated[int, typer.Option(min=8, help="Different texts, a multiple of 8.")] = 256,
    raw: Annotated[Path | None, typer.Option(help="Write the raw samples here, as JSON.")] = None,
) -> None:
    """What the gateway costs: throughput with several clients, latency of a lone one, memory."""
    checkpoint = with_layers(checkpoint, layers)
    texts = read_texts(checkpoint, reviews).by_length["imdb"]
    with fp32_server(checkpoint) as server, gateway(server) as (url, pid):
        callers: dict[str, Caller] = {
            TRITON: triton_caller(server.http_url, MODEL),
            GATEWAY: GatewayCaller(HttpCaller(f"{url}/v1/classify")),
        }
        before = memory_mib(pid)
        measure(callers, texts, clients, 1.0, 0)  # not counted
        numbers = track(range(rounds), "rounds")
        results = [measure(callers, texts, clients, seconds, number) for number in numbers]
        after = memory_mib(pid)
    share, more = median(each.share for each in results), median(each.more_ms for each in results)
    console = Console()
    console.print(table(results, clients))
    console.print(f"gateway's share of raw Triton's reviews/s, {clients} clients: {share:.1%} (at least 90%)")
    console.print(f"gateway's p50 beyond raw Triton's, 1 client: {more:+.2f} ms (less than {MOST_MS} ms)")
    console.print(f"gateway's memory: {before:.0f} MiB before the first request, {after:.0f} MiB at the end")
    if raw is not None:
        raw.write_text(json.dumps([_raw(each) for each in results]))
    raise typer.Exit(share < LEAST_SHARE or more >= MOST_MS)


def _raw(each: Round) -> dict:
    return {
        part: {name: result.to_json() for name, result in getattr(each, part).items()}
        for part in ("alone", "crowd")
    }


if __name__ == "__main__":
    typer.run(main)
