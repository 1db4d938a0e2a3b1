"""How the rows of a batch are cut into runs of the model that suit a CPU.

Three things decide:

- Up to some 500 tokens, each token is cheaper in a larger run. Beyond, activations leave the cache, and each
  token costs more.
- In attention, each row costs the square of the longest row of its run. So rows of like length share a run.
- Two cores do more in two runs on one thread each than in one run on two threads, which wait for each other
  at every operator. Only a row that is alone, or much longer than the others, is faster on all threads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Elements (tokens) of a run. Processor time for 1,000 tokens of IMDB's reviews on an EPYC with 1 MiB of L2
# cache a core, 24 layers: fp32 473 ms one by one, 489 in runs of up to 512, 533 up to 1,024, 639 up to 4,096;
# int8 13, 13, 15 and 19 ms. Of 16-token texts, fp32: 739 ms one by one, 411 in runs of up to 512.
SMALLEST, LARGEST = 16, 512
# The speed of one of several threads of a run, as a part of that of a run's only thread.
TEAMWORK = 0.8


@dataclass(frozen=True)
class Plan:
    """`runs`: indices of rows, longest first. `side_by_side`: runs get a thread each, and not all in turn."""

    runs: tuple[tuple[int, ...], ...]
    side_by_side: bool


def plan_runs(lengths: Sequence[int], threads: int) -> Plan:
    """Cut rows of these lengths into runs for so many threads. Every row is in exactly one run."""
    total = sum(lengths)
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    wanted = max(math.ceil(total / LARGEST), min(threads, total // SMALLEST), 1)
    runs = _cut(order, lengths, math.ceil(wanted / threads) * threads if wanted > 1 else 1)
    sizes = [sum(lengths[row] for row in run) for run in runs]
    shared = threads > 1 and len(runs) > 1
    return Plan(runs, shared and _slowest(sizes, threads) * threads * TEAMWORK <= total)


def _cut(order: Sequence[int], lengths: Sequence[int], runs: int) -> tuple[tuple[int, ...], ...]:
    """The rows, in this order, in about so many runs of equal sums. Only a run of one row exceeds LARGEST."""
    share = sum(lengths) / runs
    cut: list[list[int]] = [[]]
    size = 0
    for row in order:
        length = lengths[row]
        if cut[-1] and (size + length > LARGEST or size + length / 2 > share):
            cut.append([])
            size = 0
        cut[-1].append(row)
        size += length
    return tuple(map(tuple, cut))


def _slowest(sizes: Sequence[int], threads: int) -> int:
    """Elements of the thread with the most, when each takes the next run as soon as it is free."""
    loads = [0] * threads
    for size in sizes:
        loads[loads.index(min(loads))] += size
    return max(loads)
