"""How int8's options were chosen: `python -m benchmarks.int8_tune --data reviews.csv`.

Compares calibrations, equalization and products kept in float32 with the float32 graph on labelled texts, and
ranks products by what they cost. Choose on data that no result is reported on.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto
from rich.console import Console
from rich.table import Table

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.gate.samples import Sample, read_sample
from export.gate.scores import f1_score
from export.graph.folding import fold
from export.graph.running import open_session, run_rows
from export.options import DEFAULT_CHECKPOINT, CheckpointOption
from export.precision.fp32 import build_fp32
from export.precision.int8 import CALIBRATIONS, Int8Options, build_int8, tail_products

ALPHAS = (None, 0.25, 0.5, 0.75, 1.0)
console = Console(width=100)

Logits = NDArray[np.float32]


def main(
    data: Annotated[Path, typer.Option(help="Labelled .csv, .jsonl or .parquet.")],
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    limit: Annotated[int, typer.Option(help="Rows to take at random; 0 for all.")] = 1000,
) -> None:
    """Print the tables."""
    loaded = load_checkpoint(checkpoint)
    sample = read_sample(loaded, data, limit=limit)
    reference = _logits(build_fp32(loaded), sample)
    print_options(loaded, sample, reference)
    print_products(loaded, sample, reference)


def print_options(checkpoint: Checkpoint, sample: Sample, reference: Logits) -> None:
    """One row for each combination of options.

    mean and 99.9%: of the logits' absolute differences; max |p|: of the probabilities'; agree: on the label;
    F1: gained or lost.
    """
    table = Table(title=f"options, against the fp32 graph on {len(sample.rows)} texts")
    for heading in ("calibration", "alpha", "tail", "mean", "99.9%", "max |p|", "agree", "F1", "size"):
        table.add_column(heading, no_wrap=True)
    size = build_fp32(checkpoint).ByteSize()
    for options in _candidates():
        model = build_int8(checkpoint, options)
        found = _logits(model, sample)
        chosen = [options.calibration, options.alpha, "fp32" if options.keep_tail else "int8"]
        cells = [*_figures(found, reference, sample), f"{model.ByteSize() / size:.1%}"]
        table.add_row(*map(str, chosen), *cells)
    console.print(table)


def print_products(checkpoint: Checkpoint, sample: Sample, reference: Logits) -> None:
    """The mean logit difference when one product is kept in float32, the most costly product first."""
    base = _mean_difference(build_int8(checkpoint), sample, reference)
    saved = {
        name: base - _mean_difference(build_int8(checkpoint, Int8Options(keep=(name,))), sample, reference)
        for name in _products(checkpoint)
    }
    table = Table("kept in fp32", "mean", title=f"one at a time; none: {base:.4f}")
    for name in sorted(saved, key=lambda name: -saved[name]):
        table.add_row(name, f"{base - saved[name]:.4f}")
    console.print(table)


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
        f"{agreement:.1%}",
        f"{lost:+.4f}",
    ]


def _softmax(logits: Logits) -> Logits:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    typer.run(main)
