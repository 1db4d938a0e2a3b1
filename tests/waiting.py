"""Waiting for what happens soon, on a machine that may be busy."""

import time
from collections.abc import Callable

GENEROUS = 180.0


def until(holds: Callable[[], object], seconds: float = GENEROUS) -> None:
    """Return when the condition holds; fail when it does not in all that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.05)
