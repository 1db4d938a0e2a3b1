"""`python -m benchmarks.memory`: resident memory of the whole server over thousands of requests of random
lengths.

Proportional set size (pages that processes share count once) of tritonserver and its model processes, sampled
while eight clients send texts of 1 to 600 random words. Memory that grows after the first fifth of the
requests is taken for a leak. Exit status 1 when the growth is more than the tolerance.
"""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.load.callers import HttpCaller, TritonCaller
from benchmarks.load.texts import WORDS
from benchmarks.measure.processes import memory_mib
from benchmarks.measure.sampler import Sampler
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.fp32_server import fp32_server, with_layers
from serving.launcher import TritonServer

CLIENTS = 8
LONGEST = 600
STEPS = 5


@dataclass(frozen=True)
class Usage:
    """MiB: before the first request, after each fifth of the requests, and the largest sample of all."""

    start: float
    after: Sequence[float]
    peak: float

    @property
    def growth(self) -> float:
        """From the end of the first fifth, when buffers have their size, to the end."""
        return self.after[-1] - self.after[0]


def random_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Texts whose lengths spread evenly from one word to more than the model reads."""
    generator = random.Random(seed)
    return (" ".join(generator.choices(WORDS, k=generator.randint(1, LONGEST))) for _ in range(count))


def measure(server: TritonServer, requests: int) -> Usage:
    """Send the requests, eight at a time."""
    caller = TritonCaller(HttpCaller(f"{server.http_url}/v2/models/sentiment/infer"))
    sampler = Sampler(server.pid)
    texts, after, step = random_texts(requests), [], requests // STEPS
    with sampler, ThreadPoolExecutor(CLIENTS) as pool, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("requests", total=requests)
        for _ in range(STEPS):
            for _ in pool.map(lambda text: caller([text]), [next(texts) for _ in range(step)]):
                progress.advance(task)
            after.append(memory_mib(server.pid))
    return Usage(sampler.start, after, max(sampler.peak, *after))


def report(usage: Usage, requests: int) -> Table:
    """One row a fifth."""
    table = Table("requests", "MiB")
    table.add_row("0", f"{usage.start:,.0f}")
    for number, value in enumerate(usage.after, start=1):
        table.add_row(f"{number * requests // STEPS:,}", f"{value:,.0f}")
    table.add_row("peak", f"{usage.peak:,.0f}")
    return table


def main(
    checkpoint: Annotated[Path, typer.Option()] = SHIPPED_CHECKPOINT,
    layers: Annotated[
        int, typer.Option(help="Of a copy with random weights; 0 takes the checkpoint itself.")
    ] = 0,
    requests: Annotated[int, typer.Option(min=STEPS)] = 5000,
    tolerance: Annotated[float, typer.Option(help="MiB by which it may grow.")] = 16.0,
) -> None:
    """Memory of the whole server: at the start, as requests go by, at its peak."""
    with fp32_server(with_layers(checkpoint, layers)) as server:
        usage = measure(server, requests)
    Console().print(report(usage, requests))
    Console().print(f"growth after the first {requests // STEPS:,} requests: {usage.growth:+.1f} MiB")
    raise typer.Exit(usage.growth > tolerance)


if __name__ == "__main__":
    typer.run(main)
