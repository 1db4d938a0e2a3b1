"""`python -m benchmarks.depths FOLDER FOLDER ...`: how right and how fast are students of several depths?

Right: F1 on the texts that were held out of the training (metrics.json of each checkpoint), so that test
texts choose no depth. Fast: the int8 graph in process, over rows as long as IMDB's reviews; rounds alternate
between the checkpoints, so other work of the machine affects all equally.
"""

import json
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import durable
from benchmarks.errors import BenchmarkError
from benchmarks.load.texts import IMDB_QUANTILES, row_of
from benchmarks.measure.turns import in_turns
from export.checkpoint.reading import load_checkpoint
from export.graph.running import open_session, run_rows
from export.precision.registry import builder

mpl.use("Agg")
from matplotlib import pyplot as plt

METRICS = "metrics.json"
PRECISION = "int8"
LONE = 256  # tokens of a lone review, IMDB's median

console = Console()


@dataclass(frozen=True)
class Student:
    """`f1` on `texts` held-out texts; seconds [rounds] of a batch of reviews and of a lone one."""

    name: str
    layers: int
    f1: float
    texts: int
    batch: np.ndarray
    lone: np.ndarray

    @property
    def error(self) -> float:
        """One standard error of `f1`, as that of a share."""
        return math.sqrt(self.f1 * (1 - self.f1) / self.texts)

    @property
    def reviews_per_second(self) -> float:
        """Of the batches' median."""
        return len(IMDB_QUANTILES) / float(np.median(self.batch))


def held_out(folder: Path) -> tuple[float, int]:
    """F1 and number of the held-out texts. Raises `BenchmarkError` where the training did not write them."""
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    if "held_out" not in metrics:
        raise BenchmarkError(f"{folder / METRICS} has no held_out: train with `python -m training.distill`")
    return metrics["held_out"]["f1"], metrics["held_out"]["texts"]


def measure(folders: list[Path], rounds: int) -> list[Student]:
    """Every checkpoint in turn, `rounds` times."""
    scores = [held_out(folder) for folder in folders]
    checkpoints = [load_checkpoint(folder) for folder in folders]
    sessions = [open_session(builder(PRECISION)(checkpoint)) for checkpoint in checkpoints]
    words = min(checkpoint.config.vocab_size for checkpoint in checkpoints)
    reviews = [row_of(length, words) for length in IMDB_QUANTILES]
    calls = {
        (place, len(rows)): partial(run_rows, session, rows)
        for place, session in enumerate(sessions)
        for rows in (reviews, [row_of(LONE, words)])
    }
    in_turns(calls, 1, time.perf_counter)
    found = in_turns(calls, rounds, time.perf_counter)
    return [
        Student(
            checkpoint.folder.name,
            checkpoint.config.num_hidden_layers,
            *scores[place],
            batch=found[place, len(reviews)],
            lone=found[place, 1],
        )
        for place, checkpoint in enumerate(checkpoints)
    ]


def tabulate(students: list[Student]) -> Table:
    """A line a student; speeds beside the first one's are medians of the rounds' ratios."""
    table = Table("layers", "checkpoint", "held-out F1", "one error", "reviews/s", "speed", "lone ms")
    for each in students:
        table.add_row(
            str(each.layers),
            each.name,
            f"{each.f1:.4f}",
            f"{each.error:.4f}",
            f"{each.reviews_per_second:.0f}",
            f"{np.median(students[0].batch / each.batch):.2f}x",
            f"{1000 * np.median(each.lone):.1f}",
        )
    return table


def draw(students: list[Student], path: Path) -> None:
    """F1 over reviews/s, with one standard error, and the layers beside each point."""
    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for each in students:
        axes.errorbar(each.reviews_per_second, each.f1, yerr=each.error, fmt="o", capsize=4, color="#2a9d4a")
        label = f"{each.layers} layers"
        axes.annotate(label, (each.reviews_per_second, each.f1), (8, 6), textcoords="offset points")
    axes.set_xlim(0, 1.3 * max(each.reviews_per_second for each in students))
    axes.set_xlabel("reviews a second, int8, in process")
    axes.set_ylabel("F1 on held-out reviews (one standard error)")
    axes.grid(alpha=0.3)
    with durable.replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=110)
    plt.close(figure)


def main(
    folders: Annotated[list[Path], typer.Argument(help="Checkpoints of `python -m training.distill`.")],
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    plot: Annotated[Path | None, typer.Option(help="A PNG of F1 over speed.")] = None,
) -> None:
    """Quality and speed of students of several depths."""
    try:
        students = measure(folders, rounds)
    except BenchmarkError as error:
        console.print(f"error: {error}", style="red")
        raise typer.Exit(2) from None
    console.print(tabulate(students))
    if plot:
        draw(students, plot)


if __name__ == "__main__":
    typer.run(main)
