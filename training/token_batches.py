"""Token batches for the training loops: grouped by length, padded little, of few distinct shapes.

Few shapes matter on a CPU: oneDNN compiles a kernel for each new matrix shape, and where sizes vary the
allocator gives memory back and asks for it again. Lengths are therefore rounded up to a multiple of 16, and
every batch of one length has the same number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TokenIds = NDArray[np.int64]
GRANULE = 16


def pad_batch(texts: Sequence[TokenIds], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Stack texts of unequal length: ids int64 and mask bool (true = token), [texts, tokens]."""
    width = -(-max(map(len, texts)) // GRANULE) * GRANULE
    ids = np.full((len(texts), width), pad_id, np.int64)
    mask = np.zeros((len(texts), width), bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)


def pad_values(rows: Sequence[NDArray[Any]], width: int) -> Tensor:
    """Stack rows [tokens, values] of unequal length, zeros beyond each: float32 [rows, `width`, values]."""
    stacked = np.zeros((len(rows), width, rows[0].shape[1]), np.float32)
    for place, row in enumerate(rows):
        stacked[place, : len(row)] = row
    return torch.from_numpy(stacked)


def length_batches(
    lengths: Sequence[int], token_budget: int, generator: np.random.Generator | None = None
) -> list[list[int]]:
    """Split text indices into batches of nearly equal length with at most `token_budget` padded tokens.

    With a `generator`, texts of one length and the batches are shuffled; without, the order is by length.
    A text longer than the budget makes a batch of its own.
    """
    widths = -(-np.asarray(lengths) // GRANULE) * GRANULE
    order = np.arange(len(widths)) if generator is None else generator.permutation(len(widths))
    order = order[np.argsort(widths[order], kind="stable")]
    batches = list(_cut(order, widths, token_budget))
    if generator is not None:
        generator.shuffle(batches)
    return batches


def _cut(order: NDArray[np.int64], widths: NDArray[np.int64], token_budget: int) -> Iterator[list[int]]:
    """Cut `order` (by rising width) so that leftovers of one width open the first batch of the next."""
    batch: list[int] = []
    for position, index in enumerate(order):
        batch.append(int(index))
        last = position + 1 == len(order)
        following = widths[index] if last else widths[order[position + 1]]
        if last or (len(batch) + 1) * following > token_budget:
            yield batch
            batch = []
