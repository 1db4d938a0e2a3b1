"""`python -m benchmarks.background`: what a running background task costs the online requests.

A real server, gateway and worker; a task of a million texts is submitted. Rounds alternate between a worker
that is stopped (SIGSTOP) and one that works, while online requests come at a steady rate (open loop,
exponential gaps). The verdict is the median of the rounds' ratios of p99.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.errors import one_line_errors
from benchmarks.load.texts import read_texts
from benchmarks.measure.processes import memory_mib
from benchmarks.measure.summary import percentile
from benchmarks.paths import ROOT, SHIPPED_CHECKPOINT
from clients import AsyncSentimentClient, Limits, TaskClient
from serving.gateway import GatewayChild
from serving.launcher import TritonServer
from serving.service import Service
from serving.worker import WorkerChild

SETTLE_SECONDS = 2.0
console = Console()


@dataclass(frozen=True)
class Window:
    """Latencies of the online requests in seconds, and texts that the task got answered meanwhile."""

    latencies: Sequence[float]
    background: float

    def ms(self, percent: float) -> float:
        """A percentile in milliseconds."""
        return 1e3 * percentile(self.latencies, percent)


@contextmanager
def running(repository: Path) -> Iterator[tuple[TritonServer, TaskClient, int]]:
    """Server, gateway and worker; the worker's process id."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ |= {"GATEWAY_DATA": folder, "ACCESS_LOG": "off", "TASK_CHUNK": "16"}
        server = TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=lambda line: None)
        gateway = GatewayChild(server, 0, print)
        worker = WorkerChild(server, print)
        with Service([server, gateway, worker], print):
            try:
                yield server, TaskClient(gateway.url), worker.pid
            finally:
                os.kill(worker.pid, signal.SIGCONT)


async def online(url: str, texts: Sequence[str], rate: float, seconds: float, seed: int) -> list[float]:
    """Latencies of requests of one text that begin `rate` times a second, however many are on their way."""
    chance = random.Random(seed)
    limits = Limits(deadline=0, max_in_flight=10_000)
    latencies: list[float] = []
    async with AsyncSentimentClient(url, "grpc", limits=limits) as client, asyncio.TaskGroup() as group:
        await client.classify_one(texts[0])

        async def ask(text: str) -> None:
            began = time.perf_counter()
            await client.classify_one(text)
            latencies.append(time.perf_counter() - began)

        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            group.create_task(ask(chance.choice(texts)))
            await asyncio.sleep(chance.expovariate(rate))
    return latencies


@one_line_errors("interrupted")
def main(
    repository: Annotated[Path, typer.Option(help="The exported models.")] = ROOT / "model_repository",
    texts: Annotated[int, typer.Option(help="Of the task.")] = 1_000_000,
    rate: Annotated[float, typer.Option(help="Online requests a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(help="Of a window.")] = 15.0,
    rounds: Annotated[int, typer.Option(help="Windows of each kind.")] = 5,
) -> None:
    """Prints the p99 of online requests without and with a running task."""
    reviews = [review.text for review in read_texts(SHIPPED_CHECKPOINT, 400).by_length["imdb"]]
    with running(repository) as (server, tasks, worker):
        began = time.perf_counter()
        task = tasks.submit(f"{reviews[n % len(reviews)]} {n}" for n in range(texts))
        console.print(f"{texts:,} texts accepted in {time.perf_counter() - began:.1f} s")
        windows: dict[bool, list[Window]] = {False: [], True: []}
        for number in range(rounds):
            for works in (False, True):
                os.kill(worker, signal.SIGCONT if works else signal.SIGSTOP)
                time.sleep(SETTLE_SECONDS)
                before, start = task.status().done, time.perf_counter()
                latencies = asyncio.run(online(server.grpc_url, reviews, rate, seconds, number))
                done = (task.status().done - before) / (time.perf_counter() - start)
                windows[works].append(Window(latencies, done))
        memory = memory_mib(worker)
        assert not task.status().ended, "the task ended before the measurement did"
        task.cancel()
    show(windows[False], windows[True], rate)
    console.print(f"the worker's memory at the end: {memory:.0f} MiB")


def show(without: Sequence[Window], beside: Sequence[Window], rate: float) -> None:
    """The table and the verdict."""
    table = Table("", "p50 ms", "p99 ms", "background texts/s", title=f"{rate:g} online requests a second")
    for name, found in (("no task", without), ("a task runs", beside)):
        columns = [median(window.ms(percent) for window in found) for percent in (50, 99)]
        table.add_row(
            name, *(f"{value:.1f}" for value in columns), f"{median(w.background for w in found):.1f}"
        )
    console.print(table)
    ratios = [busy.ms(99) / free.ms(99) for free, busy in zip(without, beside, strict=True)]
    console.print(f"p99 beside a task: {median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    typer.run(main)
