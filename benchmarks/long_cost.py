"""`python -m benchmarks.long_cost`: what a token of a long text costs, and the memory that the text takes.

The exported graph in process, one row at a time. Rounds alternate between the lengths, so other work of the
machine affects all equally. Processor time is that of one thread; latency that of all cores. `windows apart`
is the latency if each window were a run of its own on one core, which no server here does. Memory is what the
first row of a length adds to the session's. Shorter rows ran before, and the session keeps their memory.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.load.texts import row_of
from benchmarks.measure.processes import memory_mib
from benchmarks.measure.turns import in_turns
from benchmarks.paths import SHIPPED_CHECKPOINT
from export.checkpoint.reading import load_checkpoint
from export.graph.running import open_session, run_rows
from export.graph.windows import Windows
from export.precision.registry import builder

CORES = len(os.sched_getaffinity(0))
LENGTHS = (128, 512, 1024, 2048, 4096)
BASE = 512
# What is timed: whether the windows are runs of their own, and the tokens of the row.
Key = tuple[bool, int]
Call = Callable[[], Any]

console = Console()


class Lanes:
    """A session of one thread for each core: what a row's windows would take on a core each."""

    def __init__(self, model: Any) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(CORES):
            self._free.put(open_session(model, threads=1))
        self._pool = ThreadPoolExecutor(CORES)

    def run(self, windows: list[list[int]]) -> None:
        """Each window is a run of its own, in the session that is free next."""
        list(self._pool.map(self._run, windows))

    def _run(self, window: list[int]) -> None:
        session = self._free.get()
        run_rows(session, [window])
        self._free.put(session)


def tabulate(
    processor: dict[Key, np.ndarray], latency: dict[Key, np.ndarray], memory: dict[int, float]
) -> Table:
    """A line a length; `a token costs` is the median of the rounds' ratios to 512 tokens."""
    table = Table(
        "tokens", "processor ms", "a token costs", f"ms on {CORES} cores", "windows apart", "adds MiB"
    )
    for (_, length), seconds in processor.items():
        ratio = np.median(seconds / processor[False, BASE]) * BASE / length
        table.add_row(
            f"{length:,}",
            f"{1000 * np.median(seconds):.1f}",
            f"{ratio:.2f}x",
            f"{1000 * np.median(latency[False, length]):.1f}",
            f"{1000 * np.median(latency[True, length]):.1f}",
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
    windows = Windows(loaded.config.max_position_embeddings)
    rows = {length: row_of(length, loaded.config.vocab_size) for length in LENGTHS}
    for each in precision or ["fp32", "int8"]:
        model = builder(each)(loaded)
        console.print(f"{each}, {loaded.folder.name}")
        console.print(measure(model, rows, windows, rounds))


def measure(model: Any, rows: dict[int, list[int]], windows: Windows, rounds: int) -> Table:
    """The table of one model."""
    one, whole, lanes = open_session(model, threads=1), open_session(model), Lanes(model)
    memory = {}
    for length in sorted(rows):
        before = memory_mib(os.getpid())
        run_rows(one, [rows[length]])
        if length > BASE:
            memory[length] = memory_mib(os.getpid()) - before
    calls: dict[Key, Call] = {(False, length): partial(run_rows, one, [row]) for length, row in rows.items()}
    in_turns(calls, 2, time.process_time)
    processor = in_turns(calls, rounds, time.process_time)
    both: dict[Key, Call] = {(False, length): partial(run_rows, whole, [row]) for length, row in rows.items()}
    both |= {(True, length): partial(lanes.run, windows.cut(row)) for length, row in rows.items()}
    in_turns(both, 2, time.perf_counter)
    return tabulate(processor, in_turns(both, rounds, time.perf_counter), memory)


if __name__ == "__main__":
    typer.run(main)
