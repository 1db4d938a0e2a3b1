"""The texts that the gate runs: a checkpoint's golden texts, or any labelled file.

CSV and JSON lines need nothing more than Python; parquet needs pandas with pyarrow.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.reading import Checkpoint
from export.errors import DataError
from export.gate.truth import read_truth
from export.graph.running import load_tokenizer
from export.precision.built_in_texts import TEXTS, tokenized_texts

BATCH_ROWS = 8
_SEED = 0


@dataclass(frozen=True)
class Batch:
    """members: places in the sample; places: where in `rows` those are; the other rows are all [PAD]."""

    members: tuple[int, ...]
    places: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Sample:
    """N texts: what to call them, their ids, and their labels (see `truth`) where they have any."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    truth: NDArray[Any] | None
    pad: int

    def batches(self) -> Iterator[Batch]:
        """The texts in seeded random order, some with trailing [PAD]s, an all-pad row amid every batch."""
        random = np.random.default_rng(_SEED)
        order = random.permutation(len(self.rows))
        for start in range(0, len(order), BATCH_ROWS):
            members = tuple(int(i) for i in order[start : start + BATCH_ROWS])
            padding = random.integers(0, 4, len(members))
            rows = [
                self.rows[i] + (self.pad,) * int(extra) for i, extra in zip(members, padding, strict=True)
            ]
            middle = len(rows) // 2
            rows.insert(middle, (self.pad,) * 3)
            places = tuple(place for place in range(len(rows)) if place != middle)
            yield Batch(members, places, tuple(rows))

    def batch_of(self, index: int) -> Batch:
        """The batch that runs text `index`."""
        return next(batch for batch in self.batches() if index in batch.members)


def golden_sample(checkpoint: Checkpoint) -> Sample:
    """The checkpoint's golden texts; they have no labels."""
    golden = checkpoint.golden
    return Sample(
        names=tuple(f"golden text {text.name!r}" for text in golden),
        texts=tuple(text.text for text in golden),
        rows=tuple(text.input_ids for text in golden),
        truth=None,
        pad=checkpoint.config.pad_token_id,
    )


def built_in_sample(checkpoint: Checkpoint) -> Sample:
    """A few texts of every kind, for a checkpoint that ships no golden ones."""
    rows = tuple(tokenized_texts(checkpoint))
    names = tuple(f"built-in text {number}" for number in range(1, len(rows) + 1))
    return Sample(names, (*TEXTS, "all of them"), rows, None, checkpoint.config.pad_token_id)


def read_sample(
    checkpoint: Checkpoint,
    path: Path,
    text_column: str = "text",
    label_column: str = "label",
    limit: int = 0,
    separator: str = "|",
) -> Sample:
    """Texts of a labelled CSV, JSON-lines or parquet file; labels are as `truth` reads them.

    `limit`: take so many rows at random, always the same ones; 0 for all.

    Raises:
        DataError: the file cannot be read, a column is missing, or a row's label is unknown.
    """
    records = _read_records(path)
    _require_columns(path, records, (text_column, label_column))
    chosen = _choose(len(records), limit)
    texts = tuple(str(records[i][text_column]) for i in chosen)
    places = [f"{path}, row {i + 1}" for i in chosen]
    truth = read_truth([records[i][label_column] for i in chosen], places, checkpoint.config, separator)
    return Sample(
        names=tuple(f"row {i + 1} of {path.name}" for i in chosen),
        texts=texts,
        rows=tokenize(checkpoint, texts),
        truth=truth,
        pad=checkpoint.config.pad_token_id,
    )


def tokenize(checkpoint: Checkpoint, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Ids as serving makes them: not padded, cut at 4,096 tokens."""
    encodings = load_tokenizer(checkpoint).encode_batch(list(texts))
    return tuple(tuple(encoding.ids) for encoding in encodings)


def _read_records(path: Path) -> list[dict[str, Any]]:
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: not a .csv, .jsonl or .parquet file")
    try:
        records = readers[path.suffix.lower()](path)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not records:
        raise DataError(f"{path} has no rows")
    return records


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pandas

        table = pandas.read_parquet(path)
        return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    except ImportError as error:
        raise DataError(f"{path}: parquet needs pandas and pyarrow; convert it to .csv or .jsonl") from error


def _require_columns(path: Path, records: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    for number, record in enumerate(records, 1):
        for column in columns:
            if not isinstance(record, dict) or record.get(column) is None:
                raise DataError(f"{path}, row {number}: no column {column!r}; name it by --text or --label")


def _choose(count: int, limit: int) -> list[int]:
    if not limit or limit >= count:
        return list(range(count))
    return sorted(int(i) for i in np.random.default_rng(_SEED).choice(count, limit, replace=False))
