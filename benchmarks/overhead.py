"""`python -m benchmarks.overhead`: how much of the machine does Triton leave to the model?

The same ONNX session, with the same options, answers the same reviews three times a round: called in this
process text by text, in batches of eight, and through Triton by eight clients over HTTP. Rounds interleave
the three, so that other work of the machine affects all equally. The verdict is the median of the rounds'
ratios.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import requests
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load.callers import HttpCaller, TritonCaller
from benchmarks.load.texts import POSITIONS, Review, read_texts
from benchmarks.measure.processes import cpu_seconds
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.rivals.in_process import packed_runner
from benchmarks.servers.fp32_server import MODEL, fp32_server, model_file, with_layers
from serving.launcher import TritonServer
from serving.onnxruntime_backend.cores import usable_cores
from serving.onnxruntime_backend.session import open_session
from serving.onnxruntime_backend.settings import ModelSettings, parse_settings

CLIENTS = 8
ALONE, BATCHED, SERVED = "in process, one by one", "in process, batches of 8", "Triton, 8 clients over HTTP"


@dataclass(frozen=True)
class Speed:
    """`tokens_per_second` by the clock. `cpu`: processor milliseconds for 1,000 tokens, of all processes that
    serve. Other work of the machine hardly changes it."""

    tokens_per_second: float
    cpu: float


Round = dict[str, Speed]


@dataclass(frozen=True)
class Ways:
    """Reviews and three ways to have all of them answered."""

    server_pid: int
    reviews: Sequence[Review]
    ways: dict[str, Callable[[], object]]

    @property
    def tokens(self) -> int:
        """Of all reviews, as the model reads them."""
        return sum(review.tokens for review in self.reviews)

    def round(self) -> Round:
        """Measure each way once."""
        return {name: self._measure(name, way) for name, way in self.ways.items()}

    def _measure(self, name: str, way: Callable[[], object]) -> Speed:
        pid = self.server_pid if name == SERVED else os.getpid()
        used, began = cpu_seconds(pid), time.perf_counter()
        way()
        seconds, used = time.perf_counter() - began, cpu_seconds(pid) - used
        return Speed(self.tokens / seconds, 1e6 * used / self.tokens)


def prepare(checkpoint: Path, server: TritonServer, count: int) -> Ways:
    """The ways for a checkpoint and a live server of it."""
    from transformers import AutoTokenizer

    reviews = read_texts(checkpoint, count).by_length["imdb"]
    ids = AutoTokenizer.from_pretrained(checkpoint)(
        [each.text for each in reviews], truncation=True, max_length=POSITIONS
    )
    rows = list(ids["input_ids"])
    run = packed_runner(open_session(model_file(server), settings_of(server), threads=usable_cores()))
    batches = [rows[start : start + CLIENTS] for start in range(0, len(rows), CLIENTS)]
    caller = TritonCaller(HttpCaller(f"{server.http_url}/v2/models/sentiment/infer"))
    return Ways(
        server.pid,
        reviews,
        {
            ALONE: lambda: [run([row]) for row in rows],
            SERVED: lambda: _by_clients(caller, [each.text for each in reviews]),
            BATCHED: lambda: [run(batch) for batch in batches],
        },
    )


def settings_of(server: TritonServer) -> ModelSettings:
    """The settings with which the server's backend opens the same model."""
    return parse_settings(requests.get(f"{server.http_url}/v2/models/{MODEL}/config", timeout=10).json())


def _by_clients(caller: TritonCaller, texts: Sequence[str]) -> None:
    """Longest first, as a scheduler would: no client is left alone with a long text at the end."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for text in sorted(texts, key=len, reverse=True):
        waiting.put(text)
    clients = [threading.Thread(target=_client, args=(caller, waiting)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def _client(caller: TritonCaller, waiting: "queue.SimpleQueue[str]") -> None:
    while True:
        try:
            text = waiting.get_nowait()
        except queue.Empty:
            return
        caller([text])


def report(rounds: Sequence[Round]) -> Table:
    """Medians, and the median of each round's ratio to the first way."""
    table = Table("", "tokens/s", "of the session alone", "CPU ms / 1,000 tokens")
    for name in rounds[0]:
        speed = median(each[name].tokens_per_second for each in rounds)
        cpu = median(each[name].cpu for each in rounds)
        table.add_row(name, f"{speed:,.0f}", f"{share(rounds, name):.1%}", f"{cpu:,.0f}")
    return table


def share(rounds: Sequence[Round], name: str) -> float:
    """Of the session's own tokens per second, called one by one."""
    return median(each[name].tokens_per_second / each[ALONE].tokens_per_second for each in rounds)


def main(
    checkpoint: Annotated[
        Path, typer.Option(help="Tokenizer, sizes and texts are its own.")
    ] = SHIPPED_CHECKPOINT,
    layers: Annotated[
        int, typer.Option(help="Of a copy with random weights; 0 takes the checkpoint itself.")
    ] = 24,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    reviews: Annotated[int, typer.Option(min=8, help="Texts a round, a multiple of 8.")] = 32,
    target: Annotated[float, typer.Option(help="Exit status 1 below this share.")] = 0.85,
) -> None:
    """Tokens per second through Triton against the same session in process."""
    checkpoint = with_layers(checkpoint, layers)
    with fp32_server(checkpoint) as server:
        measured = prepare(checkpoint, server, reviews)
        measured.round()  # not counted
        results = [measured.round() for _ in track(range(rounds), "rounds", console=Console(stderr=True))]
    Console().print(report(results))
    raise typer.Exit(share(results, SERVED) < target)


if __name__ == "__main__":
    typer.run(main)
