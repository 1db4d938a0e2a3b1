"""What the model says of texts, as arrays and as columns of a table."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from export.checkpoint.problem_types import MULTI, scores_output

Objects = NDArray[np.object_]


@dataclass(frozen=True)
class Scores:
    """Arrays with a row a text; where `error` says why a text has no answer, the others mean nothing.

    label: [rows] str. score: [rows] float32. probabilities: [rows, labels] float32; of a regression its
    values. num_tokens: [rows] int32, as the model reads. truncated: [rows] bool. error: [rows] str or None.
    labels: [rows] lists of those above the threshold, where a text may have several; otherwise None.
    """

    label: Objects
    score: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    num_tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    error: Objects
    labels: Objects | None = None

    def __len__(self) -> int:
        return len(self.error)

    @property
    def errors(self) -> int:
        """Texts without an answer."""
        return sum(each is not None for each in self.error)

    @property
    def tokens(self) -> int:
        """Tokens that the model read."""
        return int(self.num_tokens.sum())


def blank(rows: int, width: int, several: bool) -> Scores:
    """Arrays to fill in, no errors."""
    return Scores(
        label=np.full(rows, None, object),
        score=np.zeros(rows, np.float32),
        probabilities=np.zeros((rows, width), np.float32),
        num_tokens=np.zeros(rows, np.int32),
        truncated=np.zeros(rows, np.bool_),
        error=np.full(rows, None, object),
        labels=np.full(rows, None, object) if several else None,
    )


@dataclass(frozen=True)
class Answer:
    """The kind of answers that a model gives: its problem type, and how many labels it has."""

    problem_type: str
    width: int

    @property
    def several(self) -> bool:
        """Whether a text may have several labels."""
        return self.problem_type == MULTI

    def fields(self) -> list[pa.Field]:
        """The columns that answers become."""
        labels = [pa.field("labels", pa.list_(pa.string()))] if self.several else []
        return [
            pa.field("label", pa.string()),
            pa.field("score", pa.float32()),
            pa.field(scores_output(self.problem_type), pa.list_(pa.float32())),
            *labels,
            pa.field("num_tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
            pa.field("error", pa.string()),
        ]

    def columns(self, scores: Scores) -> list[pa.Array]:
        """The values of those columns; null where a text has no answer."""
        void = np.array([each is not None for each in scores.error], np.bool_)
        offsets = np.arange(len(scores) + 1, dtype=np.int32) * self.width
        lists = pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(scores.probabilities.ravel()), mask=pa.array(void)
        )
        several = [] if scores.labels is None else [pa.array(scores.labels, pa.list_(pa.string()))]
        return [
            pa.array(scores.label, pa.string(), mask=void),
            pa.array(scores.score, mask=void),
            lists,
            *several,
            pa.array(scores.num_tokens, mask=void),
            pa.array(scores.truncated, mask=void),
            pa.array(scores.error, pa.string()),
        ]


def answered_schema(columns: pa.Schema, answer: Answer, metadata: Mapping[str, str]) -> pa.Schema:
    """The input's columns and the answers'; an answer whose name is taken becomes `<name>_answer`."""
    taken = set(columns.names)
    fields = [
        field.with_name(f"{field.name}_answer") if field.name in taken else field for field in answer.fields()
    ]
    kept = {**(columns.metadata or {}), **{key.encode(): each.encode() for key, each in metadata.items()}}
    return pa.schema([*columns, *fields], kept)
