"""Which texts go into one request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """The texts of one request and their places in the caller's list."""

    indices: tuple[int, ...]
    texts: tuple[str, ...]

    def without(self, row: int) -> "Batch":
        """The batch without one of its texts."""
        return Batch(
            self.indices[:row] + self.indices[row + 1 :],
            self.texts[:row] + self.texts[row + 1 :],
        )


def plan_batches(sizes: Sequence[int], max_items: int, max_bytes: int) -> Iterator[list[int]]:
    """Splits texts of the given sizes (bytes) into requests; yields lists of positions in `sizes`.

    A request holds texts of similar length, because attention costs every row of a batch as much as the
    longest one. Long texts go first, so that no slow request starts when the others are done.
    """
    batch: list[int] = []
    total = 0
    for position in sorted(range(len(sizes)), key=lambda position: -sizes[position]):
        full = len(batch) == max_items or total + sizes[position] > max_bytes
        if batch and full:
            yield batch
            batch, total = [], 0
        batch.append(position)
        total += sizes[position]
    if batch:
        yield batch
