"""`python -m benchmarks.accuracy --data test.parquet`: how right is what is served, and on long texts?

Every text is a row of the exported graph, run alone (its batch would change nothing). Texts over 512 tokens
are read in the ways that the tokenizer offers: windows, the head, head and tail. Intervals are 95%: Wilson's
for shares, 1,000 bootstrap samples of the texts for F1.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from benchmarks.paths import SHIPPED_CHECKPOINT
from export.checkpoint.reading import load_checkpoint
from export.gate.parallel import run_all
from export.gate.samples import read_sample
from export.gate.scores import accuracy, f1_score
from export.graph.running import open_session, run_rows
from export.precision.registry import builder
from training.long_texts import WAYS, read
from training.metrics import bootstrap_interval

EDGES = (0, 64, 128, 192, 256, 384, 512, 768, 1024)

console = Console()


def predictions(rows: Sequence[Sequence[int]], session: Any, positions: int) -> dict[str, NDArray[np.int64]]:
    """The label's index of every row, by the way that long rows are read; short ones are run once."""
    jobs = [
        (number, way)
        for number, row in enumerate(rows)
        for way in WAYS
        if len(row) > positions or way == WAYS[0]
    ]

    def run(job: tuple[int, str]) -> int:
        number, way = job
        row = rows[number]
        ids = row if way == WAYS[0] else read(row, way, positions)[0]
        return int(run_rows(session, [ids])[0].argmax())

    with console.status("") as status:
        found = run_all(run, jobs, lambda done: status.update(f"{done} of {len(jobs)} rows"))
    by_job = dict(zip(jobs, found, strict=True))
    return {
        way: np.array([by_job.get((number, way), by_job[number, WAYS[0]]) for number in range(len(rows))])
        for way in WAYS
    }


def share(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> str:
    """Accuracy with its interval."""
    low, high = binomtest(int((truth == predicted).sum()), len(truth)).proportion_ci(method="wilson")
    return f"{accuracy(truth, predicted):.4f} ({low:.4f} to {high:.4f})"


def by_way(truth: NDArray[np.int64], found: dict[str, NDArray[np.int64]], long: NDArray[np.bool_]) -> Table:
    """A line a way of reading."""
    table = Table(
        "long texts read", f"right of {long.sum():,} long", f"right of all {len(truth):,}", "F1 of all"
    )
    for way, predicted in found.items():
        low, high = bootstrap_interval(partial(_f1_of, truth, predicted), len(truth))
        f1 = f"{f1_score(truth, predicted):.4f} ({low:.4f} to {high:.4f})"
        of_long = share(truth[long], predicted[long]) if long.any() else "-"
        table.add_row(way, of_long, share(truth, predicted), f1)
    return table


def _f1_of(truth: NDArray[np.int64], predicted: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    return f1_score(truth[rows], predicted[rows])


def by_length(truth: NDArray[np.int64], predicted: NDArray[np.int64], lengths: NDArray[np.int64]) -> Table:
    """A line a group of lengths, read in windows."""
    table = Table("tokens", "texts", "right, in windows")
    for low, high in zip(EDGES, [*EDGES[1:], None], strict=True):
        member = (lengths > low) & (lengths <= (high or np.inf))
        if member.any():
            name = f"{low + 1} to {high}" if high else f"over {low}"
            table.add_row(name, f"{member.sum():,}", share(truth[member], predicted[member]))
    return table


def main(
    data: Annotated[Path, typer.Option(help="Labelled .csv, .jsonl or .parquet.")],
    checkpoint: Annotated[
        Path, typer.Option(help="Whose weights read; one label a text.")
    ] = SHIPPED_CHECKPOINT,
    precision: Annotated[str, typer.Option(help="fp32 or int8.")] = "fp32",
    limit: Annotated[int, typer.Option(min=0, help="Texts to take at random; 0 for all.")] = 0,
    only_long: Annotated[bool, typer.Option("--only-long", help="Leave out texts of one window.")] = False,
    text: Annotated[str, typer.Option(help="The column with the texts.")] = "text",
    label: Annotated[str, typer.Option(help="The column with the labels.")] = "label",
) -> None:
    """Score the exported graph on a labelled file."""
    loaded = load_checkpoint(checkpoint)
    sample = read_sample(loaded, data, text, label, limit)
    assert sample.truth is not None
    positions = loaded.config.max_position_embeddings
    kept = [number for number, row in enumerate(sample.rows) if len(row) > positions or not only_long]
    rows, truth = [sample.rows[number] for number in kept], sample.truth[kept]
    lengths = np.array([len(row) for row in rows])
    found = predictions(rows, open_session(builder(precision)(loaded), threads=1), positions)
    console.print(by_way(truth, found, lengths > positions))
    console.print(by_length(truth, found[WAYS[0]], lengths))
    for way, predicted in found.items():
        console.print(
            f"{way}: of each label, called each label {confusion_matrix(truth, predicted).tolist()}"
        )


if __name__ == "__main__":
    typer.run(main)
