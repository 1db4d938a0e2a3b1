"""A held-out share of texts with several labels each, in which every label has its share.

Source: Sechidis, Tsoumakas and Vlahavas (2011), "On the Stratification of Multi-Label Data": texts are dealt
out label by label, the rarest first, each to the side that still lacks most of that label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT, HELD_OUT = 0, 1


def held_out_rows(
    labels: NDArray[np.float32], fraction: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of `labels` [texts, labels], to hold out: about `fraction` of all, and of each label's.

    The text of a label that occurs once is not held out. A label of several texts has some on either side,
    unless rarer labels of those texts decide otherwise.
    """
    order = generator.permutation(len(labels))
    present = labels[order] > 0
    share = np.array([1 - fraction, fraction])
    lacking = np.outer(share, present.sum(axis=0))
    lacking[:, present.sum(axis=0) > 1] = np.maximum(lacking[:, present.sum(axis=0) > 1], 1)
    room = share * len(labels)
    sides = np.full(len(labels), -1)
    while (waiting := sides < 0).any():
        counts = present[waiting].sum(axis=0)
        if not counts.any():
            break
        rarest = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
        for place in np.flatnonzero(waiting & present[:, rarest]):
            sides[place] = side = _neediest(lacking[:, rarest], room)
            lacking[side] -= present[place]
            room[side] -= 1
    rest = np.flatnonzero(sides < 0)
    sides[rest] = KEPT
    sides[rest[: max(0, round(room[HELD_OUT]))]] = HELD_OUT
    held_out = order[sides == HELD_OUT]
    return held_out if len(held_out) else order[-1:]


def _neediest(lacking: NDArray[np.float64], room: NDArray[np.float64]) -> int:
    """The side that lacks most of the label; between equals the one with more room."""
    return max((KEPT, HELD_OUT), key=lambda side: (lacking[side], room[side]))
