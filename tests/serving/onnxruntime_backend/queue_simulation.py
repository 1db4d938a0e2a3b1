"""A model that takes tokens at a steady speed, on a clock that only the simulation moves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from serving.onnxruntime_backend.limits import QueueLimits
from serving.onnxruntime_backend.line import Piece
from serving.onnxruntime_backend.plan import LARGEST
from serving.onnxruntime_backend.rate import Rate
from serving.onnxruntime_backend.request_queue import Refused, RequestQueue
from serving.onnxruntime_backend.tickets import Ticket

SPEED = 10_000.0  # tokens a second of all cores


def ticket(*sizes: int, background: bool = False, timeout: float = float("inf"), nbytes: int = 8) -> Ticket:
    """A request whose rows have these tokens."""
    inputs = {"ids": np.zeros(nbytes, np.uint8)}
    return Ticket(inputs, sizes, ["sum"], lambda outcome: None, background, timeout)


@dataclass
class Story:
    """What became of a request; times in seconds of the simulation, None for what did not happen."""

    ticket: Ticket
    came: float
    refusal: Refused | None = None
    started: float | None = None
    ended: float | None = None
    done: list[int] = field(default_factory=list)

    @property
    def wait(self) -> float:
        """Until its first row is run."""
        assert self.started is not None
        return self.started - self.came

    @property
    def time(self) -> float:
        """Until its last row is done."""
        assert self.ended is not None
        return self.ended - self.came


class Simulation:
    """Cores that each take the next run as soon as they are free."""

    def __init__(self, cores: int = 2, limits: QueueLimits | None = None, measured: bool = True) -> None:
        self.now, self.cores = 0.0, cores
        self.queue = RequestQueue(limits or QueueLimits(), Rate(cores), lambda: self.now)
        self.stories: dict[Ticket, Story] = {}
        self._runs: list[tuple[float, Sequence[Piece]]] = []  # when each ends, and what it holds
        if measured:
            self.queue.rate.record(int(SPEED), float(cores))

    def arrive(self, *tickets: Ticket) -> None:
        """Requests come now."""
        for each in tickets:
            story = self.stories[each] = Story(each, self.now)
            try:
                self.queue.offer(each)
            except Refused as refusal:
                story.refusal = refusal
        self._start()

    def until(self, time: float) -> None:
        """Let time pass."""
        while self._runs and min(self._runs, key=lambda run: run[0])[0] <= time:
            run = min(self._runs, key=lambda each: each[0])
            self._runs.remove(run)
            self._end(*run)
            self._start()
        self.now = time

    def finish(self) -> list[Story]:
        """Until nothing is left; every story in order of arrival."""
        while self._runs:
            self.until(min(end for end, _ in self._runs))
        return list(self.stories.values())

    def _start(self) -> None:
        while self.queue and len(self._runs) < self.cores:
            pieces = self.queue.first(LARGEST, 64)
            self.queue.take(pieces)
            for piece in pieces:
                story = self.stories[piece.ticket]
                story.started = self.now if story.started is None else story.started
            tokens = sum(piece.tokens for piece in pieces)
            self._runs.append((self.now + tokens * self.cores / SPEED, pieces))

    def _end(self, end: float, pieces: Sequence[Piece]) -> None:
        self.now = end
        self.queue.done(pieces)
        tokens = sum(piece.tokens for piece in pieces)
        self.queue.rate.record(tokens, tokens * self.cores / SPEED)
        for piece in pieces:
            story = self.stories[piece.ticket]
            story.done.append(piece.row)
            story.ended = end
