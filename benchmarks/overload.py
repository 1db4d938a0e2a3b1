"""`python -m benchmarks.overload`: several times the capacity for a minute. What is accepted is answered
rightly and in time, the rest is refused at once, and afterwards the server is as fast and as large as before.

The capacity is that of a closed loop of 16 clients, measured before and once more at the end: the mean of
both, as a machine's speed changes within a minute. Load generator and server share the machine, so the time
that the generator spends on refusals lowers the throughput, too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.errors import one_line_errors
from benchmarks.load import texts
from benchmarks.load.callers import Caller, triton_caller
from benchmarks.load.closed_loop import closed_loop
from benchmarks.load.open_loop import Expected, Sent, answers_alone, open_loop
from benchmarks.measure.processes import memory_mib
from benchmarks.measure.sampler import Sampler
from benchmarks.measure.summary import percentile
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.arena import quiet_triton
from benchmarks.servers.fp32_server import fp32_server, with_layers
from serving.launcher import TritonServer

TEXTS, CLIENTS, AFTERWARDS, SLOW_S = 256, 16, 300, 0.3


@dataclass(frozen=True)
class Overload:
    """Everything that the table shows; memory in MiB."""

    capacities: tuple[float, float]  # tokens a second of the closed loop, before and after
    seconds: float
    sent: Sequence[Sent]
    afterwards: Sequence[float]  # latencies of a lone client
    memory: tuple[float, float, float]  # before, peak, after

    def latencies(self, kind: str) -> list[float]:
        """Latencies of the requests that ended as `kind`."""
        return [each.latency for each in self.sent if each.kind == kind]

    @property
    def capacity(self) -> float:
        """Tokens a second of the closed loop."""
        return sum(self.capacities) / len(self.capacities)

    @property
    def throughput(self) -> float:
        """Accepted tokens a second, until the last answer."""
        ended = max(each.ended for each in self.sent) - min(each.began for each in self.sent)
        return sum(each.tokens for each in self.sent if each.kind == "right") / ended


def measure(
    server: TritonServer, reviews: Sequence[texts.Review], model: str, factor: float, seconds: float
) -> Overload:
    """Load a server that is up."""
    url = f"{server.http_url}/v2/models/{model}/infer"
    caller = triton_caller(server.http_url, model)
    closed_loop(caller, reviews, CLIENTS, 2.0)
    closed_s = min(seconds, 10.0)
    closed = closed_loop(caller, reviews, CLIENTS, closed_s)
    expected = asyncio.run(answers_alone(url, [(each.text, each.tokens) for each in reviews]))
    before = memory_mib(server.pid)
    sampler = Sampler(server.pid, 1.0)
    with sampler:
        sent = asyncio.run(open_loop(url, expected, factor * closed.reviews_per_second, seconds))
    lone = [_timed(caller, each) for each in (expected * 2)[:AFTERWARDS]]
    memory = (before, max(sampler.peak, before), memory_mib(server.pid))
    again = closed_loop(caller, reviews, CLIENTS, closed_s)
    capacities = closed.tokens_per_second, again.tokens_per_second
    return Overload(capacities, seconds, sent, lone, memory)


def _timed(caller: Caller, expected: Expected) -> float:
    began = time.perf_counter()
    caller([expected.text])
    return time.perf_counter() - began


def tabulate(found: Overload, limit: float) -> Table:
    """Each target beside what was found."""
    kinds = Counter(each.kind for each in found.sent)
    before, peak, after = found.memory
    slow = sum(each > SLOW_S for each in found.afterwards)
    table = Table("what", "found", "wanted")
    table.add_row("requests sent", f"{len(found.sent):,}", "")
    table.add_row("answered, refused", f"{kinds['right']:,}, {kinds['refused']:,}", "")
    table.add_row("wrong, lost", f"{kinds['wrong']}, {kinds['lost']}", "0, 0")
    for kind, what, wanted in (
        ("right", "accepted answers", f"p99 under {1e3 * (limit + 0.5):,.0f} ms"),
        ("refused", "refusals", "p99 under 100 ms"),
    ):
        latencies = found.latencies(kind) or [0.0]
        p50, p99 = (1e3 * percentile(latencies, percent) for percent in (50, 99))
        table.add_row(f"{what}, p50 and p99", f"{p50:,.0f} and {p99:,.0f} ms", wanted)
    first, second = found.capacities
    table.add_row("closed loop's tokens/s, before and after", f"{first:,.0f} and {second:,.0f}", "")
    table.add_row("accepted / closed loop's tokens/s", f"{found.throughput / found.capacity:.0%}", "90%")
    table.add_row(
        "memory before, peak, after", f"{before:.0f}, {peak:.0f}, {after:.0f} MiB", "up by less than 200"
    )
    table.add_row("lone client afterwards, over 300 ms", f"{slow} of {len(found.afterwards)}", "0")
    return table


def served(repository: Path, checkpoint: Path, layers: int) -> AbstractContextManager[TritonServer]:
    """A server of the repository, or of the checkpoint's copy with so many layers alone."""
    return fp32_server(with_layers(checkpoint, layers)) if layers else quiet_triton(repository)


def main(
    repository: Annotated[Path, typer.Option(help="What to serve.")] = Path("model_repository"),
    model: Annotated[str, typer.Option(help="The ensemble to call.")] = "sentiment",
    factor: Annotated[float, typer.Option(help="Times the closed loop's rate.")] = 4.0,
    seconds: Annotated[float, typer.Option(min=1.0)] = 60.0,
    limit: Annotated[float, typer.Option(help="max_queue_seconds of the models.")] = 2.0,
    checkpoint: Annotated[Path, typer.Option(help="Whose tokenizer counts tokens.")] = SHIPPED_CHECKPOINT,
    layers: Annotated[
        int, typer.Option(help="Serve a copy with random weights instead; 0: the repository.")
    ] = 0,
) -> None:
    """Overload a server of its own, open loop, mixed lengths; exit status 1 for a wrong or lost answer."""
    with one_line_errors("interrupted: nothing is kept"), served(repository, checkpoint, layers) as server:
        reviews = texts.read_texts(checkpoint, TEXTS).by_length["imdb"]
        found = measure(server, reviews, model, factor, seconds)
    Console().print(tabulate(found, limit))
    raise typer.Exit(any(each.kind in ("wrong", "lost") for each in found.sent))


if __name__ == "__main__":
    typer.run(main)
