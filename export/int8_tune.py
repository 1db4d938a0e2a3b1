"""How int8's options were chosen: `python -m export.int8_tune --data reviews.csv [--layers 24]`.

Compares calibrations, equalization and products kept in float32 with the float32 graph on labelled texts,
ranks products by what they cost, and times both graphs in turn. Choose on data that no result is reported on.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto
from rich.console import Console
from rich.table import Table

from export.api import build_fp32
from export.checkpoint import Checkpoint, load_checkpoint
from export.folding import fold
from export.gate_texts import Sample, read_sample
from export.int8 import CALIBRATIONS, Int8Options, build_int8, tail_products
from export.options import DEFAULT_CHECKPOINT, CheckpointOption
from export.parity import open_session, run_rows
from export.scores import f1_score

ALPHAS = (None, 0.25, 0.5, 0.75, 1.0)
SHAPES = {"8 x 128 tokens": [128] * 8, "1 x 285 tokens": [285], "1 x 32 tokens": [32]}
console = Console()

Logits = NDArray[np.float32]


def main(
    data: Annotated[Path, typer.Option(help="Labelled .csv, .jsonl or .parquet.")],
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    limit: Annotated[int, typer.Option(help="Rows to take at random; 0 for all.")] = 1000,
    layers: Annotated[int, typer.Option(help="Time a graph of so many layers, too.")] = 24,
    rounds: Annotated[int, typer.Option(help="Timed runs of either graph, in turn.")] = 15,
    threads: Annotated[int, typer.Option(help="Threads of a session.")] = 2,
) -> None:
    """Print the tables."""
    loaded = load_checkpoint(checkpoint)
    sample = read_sample(loaded, data, limit=limit)
    reference = _logits(build_fp32(loaded), sample)
    print_options(loaded, sample, reference)
    print_products(loaded, sample, reference)
    for depth in sorted({loaded.config.num_hidden_layers, layers}):
        print_speed(deepened(loaded, depth), rounds, threads)


def print_options(checkpoint: Checkpoint, sample: Sample, reference: Logits) -> None:
    """One row for each combination of options."""
    table = Table(title=f"options, against the fp32 graph on {len(sample.rows)} texts")
    headings = (
        "calibration",
        "alpha",
        "tail",
        "mean |logit|",
        "99.9%",
        "max |p|",
        "agreement",
        "F1 - fp32's",
    )
    for heading in (*headings, "size"):
        table.add_column(heading)
    size = build_fp32(checkpoint).ByteSize()
    for options in _candidates():
        model = build_int8(checkpoint, options)
        found = _logits(model, sample)
        chosen = [options.calibration, options.alpha, "fp32" if options.keep_tail else "int8"]
        cells = [*_figures(found, reference, sample), f"{model.ByteSize() / size:.1%}"]
        table.add_row(*map(str, chosen), *cells)
    console.print(table)


def print_products(checkpoint: Checkpoint, sample: Sample, reference: Logits) -> None:
    """What keeping one product in float32 saves of the mean logit difference, the most costly first."""
    base = _mean_difference(build_int8(checkpoint), sample, reference)
    saved = {
        name: base - _mean_difference(build_int8(checkpoint, Int8Options(keep=(name,))), sample, reference)
        for name in _products(checkpoint)
    }
    table = Table("kept in fp32", "mean |logit|", title=f"products, one at a time; none: {base:.4f}")
    for name in sorted(saved, key=lambda name: -saved[name]):
        table.add_row(name, f"{base - saved[name]:.4f}")
    console.print(table)


def print_speed(checkpoint: Checkpoint, rounds: int, threads: int) -> None:
    """Median milliseconds of fp32 and int8, run in turn, and the median of their ratios."""
    sessions = [open_session(build(checkpoint), threads) for build in (build_fp32, build_int8)]
    table = Table(title=f"{checkpoint.config.num_hidden_layers} layers, {threads} threads, ms")
    for heading in ("batch", "fp32", "int8", "ratio"):
        table.add_column(heading, justify="right")
    for name, lengths in SHAPES.items():
        rows = [np.arange(length) % 1000 + 1000 for length in lengths]
        times = np.array([[_seconds(session, rows) for session in sessions] for _ in range(rounds)])[1:]
        fp32, int8 = (f"{median(column) * 1e3:.1f}" for column in times.T)
        table.add_row(name, fp32, int8, f"{median(times[:, 0] / times[:, 1]):.2f}")
    console.print(table)


def deepened(checkpoint: Checkpoint, layers: int) -> Checkpoint:
    """The checkpoint's layers repeated to a depth of `layers`: for timing, its answers mean nothing."""
    own = checkpoint.config.num_hidden_layers
    return replace(
        checkpoint,
        config=replace(checkpoint.config, num_hidden_layers=layers),
        weights=dict(_repeat(checkpoint.weights, own, layers)),
        ranges=dict(_repeat(checkpoint.ranges, own, layers)),
    )


def _repeat(arrays, own: int, layers: int) -> Iterator[tuple[str, NDArray[np.float32]]]:  # type: ignore[no-untyped-def]
    for name, array in arrays.items():
        number = re.search(r"(?<=encoder\.layer\.)\d+", name)
        if number is None:
            yield name, array
            continue
        for layer in range(int(number[0]), layers, own):
            yield f"{name[: number.start()]}{layer}{name[number.end() :]}", array


def _candidates() -> Iterator[Int8Options]:
    for calibration in CALIBRATIONS:
        for alpha in ALPHAS:
            yield Int8Options(calibration, alpha)
    yield replace(Int8Options(), keep_tail=False)


def _products(checkpoint: Checkpoint) -> list[str]:
    folded = fold(checkpoint.config, checkpoint.weights)
    names, last = ["embeddings"], len(folded.layers) - 1
    for index, layer in enumerate(folded.layers):
        inner = [f"ffn{j}.{part}" for j in range(len(layer.feed_forward)) for part in ("in", "out")]
        read = ["read.first", "read.all"] if index == last else ["read"]
        names += [f"layer{index}.{part}" for part in (*read, "attention", *inner, "output")]
    return [name for name in names if name not in tail_products(folded)]


def _logits(model: ModelProto, sample: Sample) -> Logits:
    session = open_session(model)
    return np.concatenate([run_rows(session, [row]) for row in sample.rows])


def _mean_difference(model: ModelProto, sample: Sample, reference: Logits) -> float:
    return float(np.abs(_logits(model, sample) - reference).mean())


def _figures(found: Logits, reference: Logits, sample: Sample) -> list[str]:
    difference = np.abs(found - reference).max(axis=1)
    probability = np.abs(_softmax(found) - _softmax(reference)).max()
    agreement = (found.argmax(1) == reference.argmax(1)).mean()
    assert sample.truth is not None
    lost = f1_score(sample.truth, found.argmax(1)) - f1_score(sample.truth, reference.argmax(1))
    return [
        f"{np.abs(found - reference).mean():.4f}",
        f"{np.quantile(difference, 0.999):.3f}",
        f"{probability:.3f}",
        f"{agreement:.2%}",
        f"{lost:+.4f}",
    ]


def _softmax(logits: Logits) -> Logits:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _seconds(session, rows: Sequence[NDArray[np.int64]]) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    run_rows(session, rows)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
