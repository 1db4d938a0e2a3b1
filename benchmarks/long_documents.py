"""`python -m benchmarks.long_documents --data train.parquet`: which way of reading long texts is right most?

Reviews over 512 tokens are read in many ways: cut, or in windows of several shapes and overlaps, whose logits
are combined. Choose on training data. Each window is a row of the fp32 graph, run alone, and only
once for all ways that share it. Differences are paired: the same reviews, against the way that serves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from benchmarks.paths import SHIPPED_CHECKPOINT
from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.gate.parallel import run_all
from export.gate.samples import read_sample
from export.graph.running import open_session, run_rows
from export.precision.fp32 import build_fp32

ROOM = 510  # tokens of a window beside [CLS] and [SEP]
SERVED = ("equal", "none", "mean")

Span = tuple[int, int]
FloatArray = NDArray[np.float64]
# From the spans of a text of n tokens (specials aside) and their logits [windows, labels] to [labels].
Combine = Callable[[Sequence[Span], FloatArray], FloatArray]

console = Console()


@dataclass(frozen=True)
class Review:
    """`ids` with [CLS] and [SEP], uncut up to 4,096 tokens; `label` as an index."""

    ids: tuple[int, ...]
    label: int

    @property
    def size(self) -> int:
        """Tokens beside [CLS] and [SEP]."""
        return len(self.ids) - 2

    def window(self, spans: Sequence[Span]) -> list[int]:
        """These parts of the text between [CLS] and [SEP]."""
        inner = self.ids[1:-1]
        return [self.ids[0], *(each for start, stop in spans for each in inner[start:stop]), self.ids[-1]]


def ragged(size: int, overlap: int) -> list[Span]:
    """Full windows, `overlap` tokens shared by neighbours; the last has what is left."""
    stride = ROOM - overlap
    count = 1 + max(0, math.ceil((size - ROOM) / stride))
    return [(i * stride, min(i * stride + ROOM, size)) for i in range(count)]


def aligned(size: int, overlap: int) -> list[Span]:
    """The same, but the last window is full, too: it begins earlier."""
    spans = ragged(size, overlap)
    return [*spans[:-1], (max(0, size - ROOM), size)]


def balanced(size: int, overlap: int) -> list[Span]:
    """As few windows as `ragged`, of one length, spread evenly."""
    count = len(ragged(size, overlap))
    length = math.ceil((size + (count - 1) * overlap) / count)
    starts = [round(i * (size - length) / max(1, count - 1)) for i in range(count)]
    return [(start, start + length) for start in starts]


LAYOUTS: dict[str, Callable[[int, int], list[Span]]] = {
    "full, rest": ragged,
    "full, last earlier": aligned,
    "equal": balanced,
}
OVERLAPS = {"none": 0, "1/8": 64, "1/4": 128}


def mean(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """Every window counts alike."""
    return logits.mean(axis=0)


def by_tokens(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """A window counts by its tokens."""
    return np.average(logits, axis=0, weights=[stop - start for start, stop in spans])


def by_position(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """Weights rise evenly; the last is twice the first."""
    return np.average(logits, axis=0, weights=np.linspace(1, 2, len(spans)))


def last_twice(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """The last window counts twice."""
    return np.average(logits, axis=0, weights=[*[1] * (len(spans) - 1), 2])


def first_twice(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """The first window counts twice."""
    return np.average(logits, axis=0, weights=[2, *[1] * (len(spans) - 1)])


def root_tokens(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """A window counts by the root of its tokens."""
    return np.average(logits, axis=0, weights=[math.sqrt(stop - start) for start, stop in spans])


def probabilities(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """The mean of the windows' probabilities."""
    return softmax(logits, axis=1).mean(axis=0)


def surest(spans: Sequence[Span], logits: FloatArray) -> FloatArray:
    """The window with the largest margin decides."""
    margins = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2]
    return logits[margins.argmax()]


COMBINATIONS: dict[str, Combine] = {
    "mean": mean,
    "by tokens": by_tokens,
    "by root of tokens": root_tokens,
    "probabilities": probabilities,
    "first twice": first_twice,
    "by position": by_position,
    "last twice": last_twice,
    "surest": surest,
}


def learnt(logits: Sequence[FloatArray], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether four learnt weights find the right one of two labels: weights of the first window's margin, the
    mean of those between, the last one's, and a constant. Each fifth is judged by weights of the others."""
    margins = [each[:, 1] - each[:, 0] for each in logits]
    features = np.array(
        [[each[0], each[1:-1].mean() if len(each) > 2 else each.mean(), each[-1]] for each in margins]
    )
    return cross_val_predict(LogisticRegression(), features, labels, cv=5) == labels


class Scorer:
    """Logits of windows, each computed once. Call `prepare` first."""

    def __init__(self, checkpoint: Checkpoint, reviews: Sequence[Review]) -> None:
        self.reviews = reviews
        self._session = open_session(build_fp32(checkpoint), threads=1)
        self._known: dict[tuple[int, tuple[Span, ...]], FloatArray] = {}

    def prepare(self, progress: Callable[[int], None] = lambda done: None) -> int:
        """Run every window that any way needs; returns how many."""
        new = sorted({each for number, review in enumerate(self.reviews) for each in _wanted(number, review)})
        rows = [self.reviews[review].window(parts) for review, parts in new]
        logits = run_all(lambda row: run_rows(self._session, [row])[0].astype(float), rows, progress)
        self._known.update(zip(new, logits, strict=True))
        return len(new)

    def __call__(self, review: int, *parts: Span) -> FloatArray:
        """[labels] of one window, which joins `parts`."""
        return self._known[review, parts]


def cuts(size: int) -> dict[str, tuple[Span, ...]]:
    """Ways that read 512 tokens only."""
    return {
        "first 512": ((0, ROOM),),
        "last 512": ((size - ROOM, size),),
        "head_tail: first 128, last 382": ((0, 128), (size - (ROOM - 128), size)),
    }


def _wanted(number: int, review: Review) -> set[tuple[int, tuple[Span, ...]]]:
    spans = {
        (span,)
        for layout in LAYOUTS.values()
        for overlap in OVERLAPS.values()
        for span in layout(review.size, overlap)
    }
    return {(number, parts) for parts in (*spans, *cuts(review.size).values())}


def long_reviews(checkpoint: Checkpoint, data: Path, limit: int) -> list[Review]:
    """Random reviews over 512 tokens, always the same ones; 0 for all."""
    sample = read_sample(checkpoint, data)
    assert sample.truth is not None
    long = [Review(r, int(t)) for r, t in zip(sample.rows, sample.truth, strict=True) if len(r) > ROOM + 2]
    chosen = np.random.default_rng(0).permutation(len(long))[: limit or None]
    return [long[i] for i in sorted(chosen)]


def answers(scorer: Scorer) -> dict[tuple[str, str, str], NDArray[np.bool_]]:
    """Which reviews are judged rightly, by (shape of windows, overlap, combination)."""
    right: dict[tuple[str, str, str], list[bool]] = {}
    windows: dict[tuple[str, str], list[FloatArray]] = {}
    for number, review in enumerate(scorer.reviews):
        for name, parts in cuts(review.size).items():
            verdict = scorer(number, *parts).argmax() == review.label
            right.setdefault(("one window", name, ""), []).append(bool(verdict))
        for shape, layout in LAYOUTS.items():
            for overlap, tokens in OVERLAPS.items():
                spans = layout(review.size, tokens)
                logits = np.stack([scorer(number, span) for span in spans])
                windows.setdefault((shape, overlap), []).append(logits)
                for name, combine in COMBINATIONS.items():
                    verdict = combine(spans, logits).argmax() == review.label
                    right.setdefault((shape, overlap, name), []).append(bool(verdict))
    found = {way: np.array(values) for way, values in right.items()}
    labels = np.array([review.label for review in scorer.reviews])
    if windows and next(iter(windows.values()))[0].shape[1] == 2:
        found |= {(*way, "learnt weights"): learnt(logits, labels) for way, logits in windows.items()}
    return found


def main(
    data: Annotated[Path, typer.Option(help="Labelled .csv, .jsonl or .parquet: training data.")],
    checkpoint: Annotated[Path, typer.Option(help="Whose weights read.")] = SHIPPED_CHECKPOINT,
    limit: Annotated[int, typer.Option(min=0, help="Long texts to take at random; 0 for all.")] = 1000,
) -> None:
    """Compare ways of reading long texts."""
    loaded = load_checkpoint(checkpoint)
    scorer = Scorer(loaded, long_reviews(loaded, data, limit))
    console.print(f"{len(scorer.reviews)} texts, {scorer.prepare()} windows")
    console.print(tabulate(answers(scorer)))


def tabulate(right: dict[tuple[str, str, str], NDArray[np.bool_]]) -> Table:
    """A row a way: accuracy, and its difference from the way that serves with one standard error."""
    served = right[SERVED].astype(float)
    table = Table("windows", "overlap", "combination", "right", "against the served way")
    for way, values in right.items():
        difference = values - served
        error = difference.std() / math.sqrt(len(values))
        table.add_row(*way, f"{values.mean():.3f}", f"{difference.mean():+.3f} ± {error:.3f}")
    return table


if __name__ == "__main__":
    typer.run(main)
