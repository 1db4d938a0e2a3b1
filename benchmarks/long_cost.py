"""`python -m benchmarks.long_cost`: what a token of a long text costs, and the memory that the text takes.

The exported graph in process, one row at a time. Rounds alternate between the lengths, so other work of the
machine affects all equally. Processor time is that of one thread; latency that of all cores. Memory is what
the first row of a length adds to the session's. Shorter rows ran before, and the session keeps their memory.
"""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.measure.processes import memory_mib
from benchmarks.paths import SHIPPED_CHECKPOINT
from export.checkpoint.reading import load_checkpoint
from export.graph.running import open_session, run_rows
from export.precision.registry import builder

LENGTHS = (128, 512, 1024, 2048, 4096)
BASE = 512

console = Console()


def row_of(length: int, vocabulary: int) -> list[int]:
    """Random ids between [CLS] and [SEP]."""
    inner = np.random.default_rng(length).integers(1000 % vocabulary, vocabulary, length - 2)
    return [101 % vocabulary, *inner.tolist(), 102 % vocabulary]


def timed(session: Any, rows: dict[int, list[int]], rounds: int, clock: Any) -> dict[int, np.ndarray]:
    """Seconds [rounds] of each length, by `clock`; the lengths take turns."""
    found: dict[int, list[float]] = {length: [] for length in rows}
    for _ in range(rounds):
        for length, row in rows.items():
            began = clock()
            run_rows(session, [row])
            found[length].append(clock() - began)
    return {length: np.array(seconds) for length, seconds in found.items()}


def tabulate(
    processor: dict[int, np.ndarray], latency: dict[int, np.ndarray], memory: dict[int, float]
) -> Table:
    """A line a length; `a token costs` is the median of the rounds' ratios to 512 tokens."""
    cores = len(os.sched_getaffinity(0))
    table = Table("tokens", "processor ms", "a token costs", f"ms on {cores} cores", "adds MiB")
    for length, seconds in processor.items():
        ratio = np.median(seconds / processor[BASE]) * BASE / length
        table.add_row(
            f"{length:,}",
            f"{1000 * np.median(seconds):.1f}",
            f"{ratio:.2f}x",
            f"{1000 * np.median(latency[length]):.1f}",
            f"{memory[length]:.0f}" if length in memory else "",
        )
    return table


def main(
    checkpoint: Annotated[Path, typer.Option(help="Whose graph to run.")] = SHIPPED_CHECKPOINT,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, int8; repeat for several.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 15,
) -> None:
    """Measure the cost of long texts."""
    loaded = load_checkpoint(checkpoint)
    rows = {length: row_of(length, loaded.config.vocab_size) for length in LENGTHS}
    for each in precision or ["fp32", "int8"]:
        model = builder(each)(loaded)
        console.print(f"{each}, {loaded.folder.name}")
        console.print(measure(model, rows, rounds))


def measure(model: Any, rows: dict[int, list[int]], rounds: int) -> Table:
    """The table of one model."""
    one = open_session(model, threads=1)
    memory = {}
    for length in sorted(rows):
        before = memory_mib(os.getpid())
        run_rows(one, [rows[length]])
        if length > BASE:
            memory[length] = memory_mib(os.getpid()) - before
    timed(one, rows, 2, time.process_time)
    processor = timed(one, rows, rounds, time.process_time)
    latency = timed(open_session(model), rows, rounds, time.perf_counter)
    return tabulate(processor, latency, memory)


if __name__ == "__main__":
    typer.run(main)
