"""Texts that are longer than the model's positions, read as serving reads them.

    parts = read(ids, "windows")                     # rows of at most 512 ids
    logits = mean_logits(of_parts, [len(parts)])     # the text's are the mean of its parts'

A text is `[CLS] t1 ... tn [SEP]`, and so is each part.
- windows: the tokens, 4,096 at most, are shared evenly among as few parts as can hold them
- head: the first 512
- head_tail: a quarter from the beginning, the rest from the end (Sun et al. 2019, arXiv:1905.05583)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS = 4096  # of a text, at most; serving cuts there, too
POSITIONS = 512  # MobileBERT's: tokens of a window, at most

Ids = Sequence[int]
WINDOWS, HEAD, HEAD_TAIL = WAYS = ("windows", "head", "head_tail")


def read(ids: Ids, way: str = WINDOWS, positions: int = POSITIONS) -> list[list[int]]:
    """The parts of a text that the model reads."""
    if way == WINDOWS:
        return windows([*ids[: MAX_TOKENS - 1], ids[-1]] if len(ids) > MAX_TOKENS else ids, positions)
    if len(ids) <= positions:
        return [list(ids)]
    head = positions // 4 + 1 if way == HEAD_TAIL else positions - 1
    return [[*ids[:head], *ids[len(ids) - (positions - head) :]]]


def windows(ids: Ids, positions: int = POSITIONS) -> list[list[int]]:
    """As few parts of nearly equal length as can hold the text."""
    if len(ids) <= positions:
        return [list(ids)]
    text = ids[1:-1]
    count = math.ceil(len(text) / (positions - 2))
    stops = [len(text) * number // count for number in range(1, count + 1)]
    return [[ids[0], *text[start:stop], ids[-1]] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def mean_logits(logits: NDArray[Any], counts: Sequence[int]) -> NDArray[Any]:
    """[texts, labels] means of `logits` [parts, labels]; `counts`: parts of each text."""
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(logits, starts, axis=0) if len(counts) else logits
    return (sums / np.array(counts)[:, None]).astype(logits.dtype)
