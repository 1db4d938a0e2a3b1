"""Reads a child's output until its end, even where it can no longer be shown, as on a closed terminal.

A child whose pipe is full stands still, so the reading must go on.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable

Sink = Callable[[str], object]


class HeldLines:
    """A sink that keeps its lines until it is opened. If a start fails, one error line replaces them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._kept: list[str] = []
        self._open = False
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            if not self._open:
                self._kept.append(line)
                return
        self._sink(line)

    def open(self) -> None:
        """Show what was kept, at once, and everything after it as it comes."""
        with self._lock:
            kept, self._kept, self._open = self._kept, [], True
            for line in kept:
                show(line, self._sink)


def pump(stream: Iterable[str], sink: Sink) -> threading.Thread:
    """Start a thread that hands every line of `stream`, without its end, to `sink` until the stream ends."""
    thread = threading.Thread(target=_drain, args=(stream, sink), daemon=True)
    thread.start()
    return thread


def _drain(stream: Iterable[str], sink: Sink) -> None:
    with contextlib.suppress(ValueError):  # closed by its owner
        for line in stream:
            show(line.rstrip("\n"), sink)


def show(line: str, sink: Sink) -> None:
    """Hand a line to the sink. If the sink is broken (closed terminal, full disk), only the line is lost."""
    with contextlib.suppress(OSError, ValueError):
        sink(line)
