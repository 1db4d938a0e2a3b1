"""`python -m benchmarks.haproxy`: what HAProxy costs in front of a server.

One Triton server, one HAProxy with deploy/haproxy/haproxy.cfg before it. A lone client sends the same short
text to each in turn, so that other work of the machine affects both equally. Then 16 clients send reviews to
each, in rounds of alternating order. Exit status 1 where a target is missed.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load.callers import Caller, triton_caller
from benchmarks.load.closed_loop import closed_loop
from benchmarks.load.texts import Review, read_texts
from benchmarks.measure.processes import memory_mib
from benchmarks.measure.summary import percentile
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.fp32_server import fp32_server, with_layers
from deploy.cluster.balancer import Address, Balancer, Ports
from deploy.cluster.cluster import stable_ports
from serving.launcher import TritonServer

MANY = 16
MODEL = "sentiment"
DIRECT, BALANCED = "direct", "through HAProxy"
LEAST_SHARE = 0.95  # of the server's own reviews/s with 16 clients
MOST_MS = 0.5  # more p50 for a lone client


@contextmanager
def balanced(server: TritonServer) -> Iterator[tuple[str, int]]:
    """The URL and the process id of an HAProxy before this server alone."""
    ports = Ports(*stable_ports(3))
    address = Address("127.0.0.1", server.options.http_port, server.options.grpc_port)
    with tempfile.TemporaryDirectory() as folder:
        balancer = Balancer([address], ports, Path(folder), lambda line: None, {"SLOWSTART": "0"})
        balancer.start(lambda: False)
        try:
            while not balancer.api.is_up(1):
                time.sleep(0.1)
            yield f"http://127.0.0.1:{ports.http}", balancer.pid
        finally:
            balancer.stop()


def lone(callers: dict[str, Caller], text: str, requests: int) -> dict[str, list[float]]:
    """Milliseconds of each request; the callers take turns, each second time in the opposite order."""
    found: dict[str, list[float]] = {name: [] for name in callers}
    for number in track(range(requests), "a lone client"):
        for name in list(callers) if number % 2 else reversed(list(callers)):
            began = time.perf_counter()
            callers[name]([text])
            found[name].append(1000 * (time.perf_counter() - began))
    return found


def crowd(
    callers: dict[str, Caller], reviews: Sequence[Review], rounds: int, seconds: float
) -> list[dict[str, float]]:
    """Reviews a second of each, round by round."""
    found = []
    for number in track(range(rounds), f"{MANY} clients"):
        order = list(callers) if number % 2 else list(reversed(callers))
        results = {name: closed_loop(callers[name], reviews, MANY, seconds) for name in order}
        found.append({name: result.reviews_per_second for name, result in results.items()})
    return found


def main(
    checkpoint: Annotated[Path, typer.Option()] = SHIPPED_CHECKPOINT,
    layers: Annotated[int, typer.Option(help="Of a copy with random weights; 0: as it is.")] = 0,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="Of each of a round's two windows.")] = 6.0,
    requests: Annotated[int, typer.Option(min=10, help="Of the lone client, to each.")] = 1000,
    reviews: Annotated[int, typer.Option(min=8, help="Different texts, a multiple of 8.")] = 256,
) -> None:
    """What HAProxy costs: throughput with 16 clients, latency of a lone one."""
    checkpoint = with_layers(checkpoint, layers)
    texts = read_texts(checkpoint, reviews).by_length
    with fp32_server(checkpoint) as server, balanced(server) as (url, pid):
        callers: dict[str, Caller] = {
            DIRECT: triton_caller(server.http_url, MODEL),
            BALANCED: triton_caller(url, MODEL),
        }
        short = min(texts["short"], key=lambda review: review.tokens).text
        lone(callers, short, 20)  # not counted
        alone = lone(callers, short, requests)
        together = crowd(callers, texts["imdb"], rounds, seconds)
        memory = memory_mib(pid)
    more = median(alone[BALANCED]) - median(alone[DIRECT])
    share = median(each[BALANCED] / each[DIRECT] for each in together)
    console = Console()
    found = Table("", "p50 ms, 1 client", "p99 ms", f"reviews/s, {MANY} clients")
    for name in callers:
        times = [f"{percentile(alone[name], percent):.2f}" for percent in (50, 99)]
        found.add_row(name, *times, f"{median(each[name] for each in together):.1f}")
    console.print(found)
    console.print(f"share of the direct reviews/s, {MANY} clients: {share:.1%} (at least {LEAST_SHARE:.0%})")
    console.print(f"p50 beyond the direct one, 1 client: {more:+.2f} ms (less than {MOST_MS} ms)")
    console.print(f"HAProxy's memory at the end: {memory:.0f} MiB")
    raise typer.Exit(share < LEAST_SHARE or more >= MOST_MS)


if __name__ == "__main__":
    typer.run(main)
