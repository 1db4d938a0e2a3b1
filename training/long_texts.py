"""Texts that are longer than the model's positions, read as serving reads them.

    parts = READINGS["windows"](ids, 512)     # rows of at most 512 ids
    logits = mean_logits(parts_logits)        # the text's are the mean of its parts'

A text is `[CLS] t1 ... tn [SEP]`; each part has both again. `windows` shares the tokens evenly among as few
parts as can hold them. `head` keeps the first tokens, `head_tail` a quarter from the beginning and the rest
from the end (Sun et al. 2019, arXiv:1905.05583: 128 and 382 of 512).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS = 4096  # of a text, at most; serving cuts there, too
POSITIONS = 512

Ids = Sequence[int]
Reading = Callable[[Ids, int], list[list[int]]]


def windows(ids: Ids, positions: int = POSITIONS) -> list[list[int]]:
    """As few parts of nearly equal length as can hold the text."""
    if len(ids) <= positions:
        return [list(ids)]
    text = ids[1:-1]
    count = math.ceil(len(text) / (positions - 2))
    stops = [len(text) * number // count for number in range(1, count + 1)]
    return [[ids[0], *text[start:stop], ids[-1]] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def head(ids: Ids, positions: int = POSITIONS) -> list[list[int]]:
    """The first tokens."""
    return [list(ids)] if len(ids) <= positions else [[*ids[: positions - 1], ids[-1]]]


def head_tail(ids: Ids, positions: int = POSITIONS) -> list[list[int]]:
    """The first quarter of the positions, and the last tokens of the text."""
    if len(ids) <= positions:
        return [list(ids)]
    first = positions // 4
    return [[*ids[: 1 + first], *ids[-(positions - first - 1) :]]]


READINGS: dict[str, Reading] = {"windows": windows, "head": head, "head_tail": head_tail}


def split(
    texts: Sequence[Ids], reading: Reading, positions: int = POSITIONS
) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Parts of all texts, one after another, and how many each text has."""
    parts = [reading(text if isinstance(text, list) else list(text), positions) for text in texts]
    return [np.array(part, np.int64) for text in parts for part in text], [len(text) for text in parts]


def mean_logits(logits: NDArray[Any], counts: Sequence[int]) -> NDArray[Any]:
    """[texts, labels] means of `logits` [parts, labels]; `counts`: parts of each text."""
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(logits, starts, axis=0) if len(counts) else logits
    return (sums / np.array(counts)[:, None]).astype(logits.dtype)
