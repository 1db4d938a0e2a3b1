"""What the commands about the int8 graph share: a deep graph, rows of given lengths, times in turn."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.reading import Checkpoint
from export.graph.running import row_inputs


class Session(Protocol):
    """What is asked of a contestant."""

    def run(self, names: list[str], feed: dict[str, NDArray[Any]]) -> Any:
        """Values of the outputs `names`."""


def deepened(checkpoint: Checkpoint, layers: int) -> Checkpoint:
    """The checkpoint's layers repeated to a depth of `layers`: for timing, its answers mean nothing."""
    own = checkpoint.config.num_hidden_layers
    return replace(
        checkpoint,
        config=replace(checkpoint.config, num_hidden_layers=layers),
        weights=dict(_repeat(checkpoint.weights, own, layers)),
        ranges=dict(_repeat(checkpoint.ranges, own, layers)),
    )


def _repeat(arrays, own: int, layers: int) -> Iterator[tuple[str, NDArray[np.float32]]]:  # type: ignore[no-untyped-def]
    for name, array in arrays.items():
        number = re.search(r"(?<=encoder\.layer\.)\d+", name)
        if number is None:
            yield name, array
            continue
        for layer in range(int(number[0]), layers, own):
            yield f"{name[: number.start()]}{layer}{name[number.end() :]}", array


def made_up_rows(lengths: list[int]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for rows of these lengths; what their ids are does not matter."""
    return row_inputs([np.arange(length) % 1000 + 1000 for length in lengths])


def times(
    sessions: Mapping[str, Session], lengths: list[int], rounds: int, clock: Callable[[], float]
) -> dict[str, NDArray[np.float64]]:
    """Seconds of every round by name, on rows of these lengths. The contestants run in turn, once before."""
    feed = made_up_rows(lengths)
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            started = clock()
            session.run(["logits"], feed)
            found[name].append(clock() - started)
    return {name: np.array(each[1:]) for name, each in found.items()}
