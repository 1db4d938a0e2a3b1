"""From the values of a label column to indices, or to a row of zeros and ones where a text has several.

Numbers sort as numbers and 0.0 is 0; white space around a label does not count. Labels that differ only in
case, or a list where the others are words, are refused with the row's number.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.tables import DataError

WHOLE = re.compile(r"[+-]?\d+(\.0+)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MANY_CLASSES = 50
SHOWN = 60


@dataclass
class LabelColumn:
    """Values [rows] of a label column, the row numbers they are reported by, and what was understood."""

    values: Sequence[Any]
    rows: Sequence[int]
    source: str
    notes: list[str] = field(default_factory=list)

    def indices(self, names: tuple[str, ...]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """One index a row into the names of the labels. Raises `DataError`.

        `names`, if given, are the values allowed; or the names of 0..n-1, when the column holds those.
        """
        keys = self._keys(self.values, self.rows)
        known = names or self._sorted_names(keys)
        lookup = {name: index for index, name in enumerate(known)}
        if not lookup.keys() & set(keys):
            lookup = {str(index): index for index in range(len(known))}
        return np.array(self._look_up(keys, self.rows, lookup, known), np.int64), known

    def matrix(self, names: tuple[str, ...], separator: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Several labels a row as zeros and ones, [rows, labels]. Raises `DataError`.

        `separator` cuts the labels of one string apart. A row may have no label at all.
        """
        lists = [self._list(value, row, separator) for value, row in zip(self.values, self.rows, strict=True)]
        flat = [value for several in lists for value in several]
        rows = [row for row, several in zip(self.rows, lists, strict=True) for _ in several]
        keys = self._keys(flat, rows)
        known = names or self._sorted_names(keys)
        lookup = {name: index for index, name in enumerate(known)}
        if not lookup.keys() & set(keys):
            lookup = {str(index): index for index in range(len(known))}
        places = np.repeat(np.arange(len(lists)), [len(several) for several in lists])
        content = np.zeros((len(lists), len(known)), np.float32)
        content[places, self._look_up(keys, rows, lookup, known)] = 1
        return content, known

    def _list(self, value: Any, row: int, separator: str) -> list[Any]:
        if isinstance(value, str) and separator:
            return [part for part in value.split(separator) if part.strip()]
        if isinstance(value, (list, tuple)):
            return list(value)
        raise DataError(
            f"{self.source}, row {row}: the label is {_short(value)}, where other rows have a list of labels."
        )

    def _keys(self, values: Sequence[Any], rows: Sequence[int]) -> list[str]:
        keys = [self._key(value, row) for value, row in zip(values, rows, strict=True)]
        if any(key != value for key, value in zip(keys, values, strict=True) if isinstance(value, str)):
            self._note("white space around labels was left out")
        if keys and all(WHOLE.fullmatch(key) for key in set(keys)):
            whole = [key.partition(".")[0] for key in keys]
            if whole != keys:
                self._note("labels such as 1.0 were read as 1")
            keys = whole
        self._refuse_lookalikes(keys, rows)
        return keys

    def _key(self, value: Any, row: int) -> str:
        if is_missing(value):
            raise DataError(f"{self.source}, row {row}: the label is missing.")
        if isinstance(value, (bytes, dict, list, tuple)):
            raise DataError(
                f"{self.source}, row {row}: the label is {_short(value)}, not a word or a number."
            )
        return str(value).strip()

    def _refuse_lookalikes(self, keys: Sequence[str], rows: Sequence[int]) -> None:
        first: dict[str, tuple[str, int]] = {}
        for key, row in zip(keys, rows, strict=True):
            written, where = first.setdefault(_form(key), (key, row))
            if written != key:
                raise DataError(
                    f"{self.source}: the labels {written!r} (row {where}) and {key!r} (row {row}) differ "
                    "only in how they are written; make them equal."
                )

    def _sorted_names(self, keys: Sequence[str]) -> tuple[str, ...]:
        distinct = set(keys)
        if len(distinct) > max(MANY_CLASSES, len(keys) / 2):
            raise DataError(
                f"{self.source}: {len(distinct)} different labels in {len(keys)} rows; is it the right "
                "column? See --label-column; or --regression, if they are numbers to predict."
            )
        if all(NUMBER.fullmatch(key) for key in distinct):
            return tuple(sorted(distinct, key=lambda key: (float(key), key)))
        return tuple(sorted(distinct))

    def _look_up(
        self, keys: Sequence[str], rows: Sequence[int], lookup: dict[str, int], known: Sequence[str]
    ) -> list[int]:
        for key, row in zip(keys, rows, strict=True):
            if key not in lookup:
                shown = ", ".join(known)
                raise DataError(f"{self.source}, row {row}: unknown label {key!r}; the labels are {shown}.")
        return [lookup[key] for key in keys]

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, not a number, or blank."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _form(key: str) -> str:
    number = float(key) if NUMBER.fullmatch(key) else None
    return repr(number) if number is not None else unicodedata.normalize("NFKC", key).casefold()


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
