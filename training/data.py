"""Labelled texts from a file or the hub, checked before any training starts.

    examples = load_examples("reviews.csv", text_column="review", label_column="stars", labels=())
    examples.texts[0], examples.names[examples.labels[0]]

Every problem is a `DataError` of one line with the number of the row (from 1; a CSV's header is not counted).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


class DataError(ValueError):
    """The data cannot be trained on; the message says which row, and what to do."""


@dataclass(frozen=True)
class Examples:
    """`texts` [n], `labels` int64 [n] as indices into `names`."""

    texts: list[str]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Examples:
        """The given rows, in the given order."""
        return Examples([self.texts[i] for i in rows], self.labels[np.asarray(rows, np.int64)], self.names)


def load_examples(
    source: str, text_column: str, label_column: str, labels: Sequence[str] = (), split: str = "train"
) -> Examples:
    """Read and check `source`: a CSV, TSV, JSON lines or parquet file, or a data set of the hub.

    `labels` names the labels: in order of the index when the column holds 0..n-1, else the values allowed.
    Without it they are the data set's own class names, or the distinct values, sorted. Raises `DataError`.
    """
    table = read_table(source, split)
    for column in (text_column, label_column):
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise DataError(f"{source} has no column {column!r}; it has: {found}. Name it with an option.")
    feature = table.features[label_column]
    names = tuple(labels) or (tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else ())
    texts = check_texts(table[text_column], source)
    indices, names = index_labels(list(table[label_column]), names, source)
    return Examples(texts, indices, names)


def read_table(source: str, split: str) -> datasets.Dataset:
    """A local file whole, or one split of a data set of the hub. Raises `DataError`."""
    return read_file(Path(source)) if Path(source).suffix in SUFFIXES else read_hub(source, split)


def read_file(path: Path) -> datasets.Dataset:
    """Load a local file with `datasets`. A CSV's values stay text: "1" and "NA" are labels as written."""
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    kind = SUFFIXES[path.suffix]
    if kind != "parquet":
        check_lines(path, kind)
    try:
        if kind == "csv":
            separator = "\t" if path.suffix == ".tsv" else ","
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator)
            return datasets.Dataset.from_pandas(frame, preserve_index=False)
        return datasets.load_dataset(kind, data_files=str(path), split="train")
    except Exception as error:
        raise DataError(f"{path} cannot be read as {kind}: {str(error).splitlines()[0]}") from error


def read_hub(name: str, split: str) -> datasets.Dataset:
    """Load one split of a data set of the hub (or of a local folder in the hub's layout)."""
    try:
        return datasets.load_dataset(name, split=split)
    except Exception as error:
        raise DataError(
            f"{name}: not a .csv, .tsv, .json, .jsonl or .parquet file, nor a data set whose split {split!r} "
            f"can be loaded from the hub ({type(error).__name__}). Give a file with --data."
        ) from error


def check_lines(path: Path, kind: str) -> None:
    """Raise `DataError` with the row's number for bytes that are not UTF-8 and lines that are not JSON."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = _rows(data[: error.start].decode("utf-8") + "?", kind)
        raise DataError(
            f"{path}, row {row}: not UTF-8 (byte {error.start}); save the file as UTF-8."
        ) from error
    if not text.strip():
        raise DataError(f"{path} is empty.")
    if kind == "json" and not text.lstrip().startswith("["):
        _check_json_lines(path, text)


def _rows(text: str, kind: str) -> int:
    if kind == "json":
        return text.count("\n") + 1
    return sum(1 for record in csv.reader(io.StringIO(text, newline="")) if record) - 1


def _check_json_lines(path: Path, text: str) -> None:
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, row {row}: not JSON ({error.msg}).") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, row {row}: not a JSON object with a text and a label.")


def check_texts(values: Sequence[Any], source: str) -> list[str]:
    """The texts as they are; `DataError` for the first that is missing, not a string, or blank."""
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise DataError(f"{source}, row {row}: the text is {value!r}, not a string.")
        if not value.strip():
            raise DataError(f"{source}, row {row}: the text is empty; remove the row.")
    return list(values)


def index_labels(
    values: Sequence[Any], names: tuple[str, ...], source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Turn label values into indices; `DataError` for a missing or unknown one, or fewer than two classes."""
    for row, value in enumerate(values, start=1):
        if value is None or str(value).strip() == "":
            raise DataError(f"{source}, row {row}: the label is missing.")
    known = {name: index for index, name in enumerate(names or _distinct(values))}
    keys = [str(value) for value in values]
    numbered = not known.keys() & set(keys)
    lookup = {str(index): index for index in known.values()} if numbered else known
    for row, key in enumerate(keys, start=1):
        if key not in lookup:
            raise DataError(f"{source}, row {row}: unknown label {key!r}; the labels are {', '.join(known)}.")
    indices = np.array([lookup[key] for key in keys], np.int64)
    _check_classes(indices, tuple(known), source)
    return indices, tuple(known)


def _distinct(values: Sequence[Any]) -> list[str]:
    distinct = set(values)
    if all(isinstance(value, (int, np.integer)) for value in distinct):
        return [str(value) for value in sorted(distinct)]
    return sorted({str(value) for value in distinct})


def _check_classes(indices: NDArray[np.int64], names: tuple[str, ...], source: str) -> None:
    present = np.unique(indices)
    if len(present) < 2:
        only = names[present[0]] if len(present) else "none"
        raise DataError(
            f"{source}: one class only ({only}, rows 1 to {len(indices)}); training needs two or more."
        )


def split_examples(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Hold out a stratified `fraction` (at least one text a label): (kept, held out). Raises `DataError`."""
    counts = np.bincount(examples.labels, minlength=len(examples.names))
    for label, count in enumerate(counts):
        if count == 1:
            row = int(np.flatnonzero(examples.labels == label)[0]) + 1
            name = examples.names[label]
            raise DataError(
                f"row {row}: label {name!r} occurs only once; two or more are needed to hold one out."
            )
    held_out = max(round(fraction * len(examples.labels)), int((counts > 0).sum()))
    kept, rest = train_test_split(
        np.arange(len(examples.labels)), test_size=held_out, stratify=examples.labels, random_state=seed
    )
    return examples.take(kept), examples.take(rest)


def without(examples: Examples, others: Sequence[str]) -> Examples:
    """Drop the texts that also occur in `others`: a model must not be tested on what it was trained on."""
    banned = set(others)
    return examples.take([i for i, text in enumerate(examples.texts) if text not in banned])
