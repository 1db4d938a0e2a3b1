"""Time several calls in turns, so that other work of the machine affects all equally."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")


def in_turns(
    calls: Mapping[Key, Callable[[], Any]], rounds: int, clock: Callable[[], float]
) -> dict[Key, np.ndarray]:
    """Seconds [rounds] of each call, by `clock`; the calls take turns."""
    found: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            began = clock()
            call()
            found[key].append(clock() - began)
    return {key: np.array(seconds) for key, seconds in found.items()}
