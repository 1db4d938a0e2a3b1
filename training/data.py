"""Labelled texts from a file or the hub, checked before any training starts.

    examples = load_examples("reviews.csv", text_column="review", label_column="stars", labels=())
    examples.texts[0], examples.names[examples.labels[0]]

Every problem is a `DataError` of one line with the number of the row (from 1; a CSV's header is not counted).
What was understood without asking (a separator, white space, numbers) is in `examples.notes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.labels import LabelColumn, is_missing
from training.regression import numbers
from training.stratified import held_out_rows
from training.tables import DataError, ReadOptions, Table, read_table

__all__ = ["DataError", "Examples", "ReadOptions", "load_examples", "load_texts", "split_examples", "without"]
PREVIEW = 40
LEVELS = 10
DEFAULT_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class Examples:
    """`texts` [n], `labels` int64 [n] as indices into `names`, or float32 [n, names] of zeros and ones, or of
    values to predict (`regression`).

    `notes`: what was understood without asking; `dropped`: rows left out on request; `rows` [n]: the texts'
    numbers in their file, 1 to n by default.
    """

    texts: list[str]
    labels: NDArray[Any]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    dropped: int = 0
    rows: NDArray[np.int64] | None = None
    regression: bool = False

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.labels.ndim == 2 and not self.regression

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Examples:
        """The given rows, in the given order."""
        chosen = np.asarray(rows, np.int64)
        numbers = self.numbers()[chosen]
        return replace(self, texts=[self.texts[i] for i in rows], labels=self.labels[chosen], rows=numbers)

    def numbers(self) -> NDArray[np.int64]:
        """The number of each text's row in its file, from 1: int64 [n]."""
        return np.arange(1, len(self.texts) + 1) if self.rows is None else self.rows

    def counts(self) -> NDArray[np.int64]:
        """Texts of each label: int64 [names]."""
        if self.multi_label:
            return self.labels.sum(axis=0).astype(np.int64)
        return np.bincount(self.labels, minlength=len(self.names)).astype(np.int64)


def load_examples(
    source: str,
    text_column: str,
    label_column: str,
    labels: Sequence[str] = (),
    split: str = "train",
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Examples:
    """Read and check `source`: a CSV, TSV, JSON lines or parquet file, or a data set of the hub.

    `labels` names the labels: in order of the index when the column holds 0..n-1, else the values allowed.
    Without it they are the data set's own class names, or the distinct values, sorted; numbers sort as
    numbers. A column of lists gives several labels a text. With `options.regression` the column holds numbers
    to predict, or lists of them, and `labels` names those. Raises `DataError`.
    """
    table = read_table(source, split, (text_column, label_column), options)
    texts, values = table.column(text_column), table.column(label_column)
    if not texts:
        raise DataError(f"{source} has a header, but no rows.")
    rows = _kept_rows(texts, values, options.drop_incomplete)
    kept = check_texts([texts[row - 1] for row in rows], source, rows)
    column = LabelColumn([values[row - 1] for row in rows], rows, source, list(table.notes))
    content: NDArray[Any]
    if options.regression:
        content, known = numbers(column, tuple(labels) or (label_column,))
    else:
        names = tuple(labels) or _class_names(table, label_column)
        several = any(isinstance(value, (list, tuple)) for value in column.values) or options.label_separator
        content, known = column.matrix(names, options.label_separator) if several else column.indices(names)
        _check_classes(content, known, source, rows)
    notes, dropped = tuple(column.notes), len(texts) - len(rows)
    return Examples(kept, content, known, notes, dropped, np.asarray(rows, np.int64), options.regression)


def load_texts(
    source: str, text_column: str, split: str, options: ReadOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The texts of `source` alone, labelled or not. Raises `DataError`."""
    return check_texts(read_table(source, split, (text_column,), options).column(text_column), source)


def _class_names(table: Table, label_column: str) -> tuple[str, ...]:
    if not table.finds(label_column):
        return ()
    return table.class_names.get(table.names[table.place(label_column)], ())


def _kept_rows(texts: Sequence[Any], values: Sequence[Any], drop_incomplete: bool) -> list[int]:
    """Numbers, from 1, of the rows to keep."""
    numbered = enumerate(zip(texts, values, strict=True), start=1)
    return [row for row, pair in numbered if not (drop_incomplete and any(map(is_missing, pair)))]


def check_texts(values: Sequence[Any], source: str, rows: Sequence[int] = ()) -> list[str]:
    """The texts as they are; `DataError` for the first that is missing, not a string, or blank.

    `rows`: the numbers to report them by, 1 to n by default.
    """
    for row, value in zip(rows or range(1, len(values) + 1), values, strict=True):
        if not isinstance(value, str):
            raise DataError(f"{source}, row {row}: the text is {str(value)[:PREVIEW]}, not a string.")
        if not value.strip():
            raise DataError(
                f"{source}, row {row}: the text is empty; remove the row, or add --drop-incomplete."
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{source}, row {row}: the text holds half a character (a surrogate at {error.start}); "
                "repair or remove it."
            ) from error
    return list(values)


def _check_classes(labels: NDArray[Any], names: Sequence[str], source: str, rows: Sequence[int]) -> None:
    present = np.unique(labels if labels.ndim == 1 else np.nonzero(labels)[1])
    if len(present) < 2:
        only = names[present[0]] if len(present) else "none"
        raise DataError(
            f"{source}: one class only ({only}, rows 1 to {rows[-1]}); training needs two or more."
        )


def split_examples(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Hold out a stratified `fraction`: (kept, held out). Raises `DataError`.

    Every label keeps at least one text on each side. Where a text may have several labels, that holds for
    labels of two texts or more (see `training.stratified`). Of a regression each tenth of the values has its
    share.
    """
    generator = np.random.default_rng(seed)
    if examples.multi_label:
        held_out = held_out_rows(examples.labels, fraction, generator)
    elif examples.regression:
        groups = np.array_split(
            examples.labels.mean(axis=1).argsort(kind="stable"), _levels(examples, fraction)
        )
        held_out = np.concatenate([_share(rows, fraction, generator) for rows in groups])
    else:
        _check_single_texts(examples)
        groups = [np.flatnonzero(examples.labels == label) for label in range(len(examples.names))]
        held_out = np.concatenate([_share(rows, fraction, generator) for rows in groups if len(rows)])
    kept = np.setdiff1d(np.arange(len(examples.texts)), held_out)
    return examples.take(generator.permutation(kept)), examples.take(generator.permutation(held_out))


def _share(rows: NDArray[np.int64], fraction: float, generator: np.random.Generator) -> NDArray[np.int64]:
    count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    return generator.permutation(rows)[:count]


def _levels(examples: Examples, fraction: float) -> int:
    """Into how many groups of similar values a regression's texts are cut; each has a text to hold out."""
    return max(1, min(LEVELS, len(examples.texts) // max(2, round(1 / fraction))))


def _check_single_texts(examples: Examples) -> None:
    for label, count in enumerate(examples.counts()):
        if count == 1:
            row = examples.numbers()[np.flatnonzero(examples.labels == label)[0]]
            raise DataError(
                f"row {row}: label {examples.names[label]!r} occurs only once; two or more texts are needed "
                "to hold one out."
            )


def without(examples: Examples, others: Sequence[str]) -> Examples:
    """Drop the texts that also occur in `others`: a model must not be tested on what it was trained on."""
    banned = set(others)
    return examples.take([i for i, text in enumerate(examples.texts) if text not in banned])
