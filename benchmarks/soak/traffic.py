"""Clients that ask in threads of their own, and the count of what became of each question."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from benchmarks.soak.callers import BrokenOff, Caller, Refused
from benchmarks.soak.questions import Answer, Question, Questions

PAUSE = 0.2  # seconds before a refused question is asked again
PATIENCE = 180.0  # seconds after which a question that is refused again and again counts as lost


@dataclass
class Tally:
    """Questions end as answered, wrong or lost; until then attempts may be refused or broken off."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind of client and by outcome
    details: list[str] = field(default_factory=list)  # of the first wrong and lost ones
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, outcome: str, detail: str = "") -> None:
        """Count one."""
        with self.lock:
            self.counts[kind, outcome] += 1
            if detail and len(self.details) < 20:
                self.details.append(f"{outcome}, {kind}: {detail}")

    def of(self, outcome: str) -> int:
        """Over all kinds of clients."""
        with self.lock:
            return sum(count for (_, each), count in self.counts.items() if each == outcome)

    @property
    def ended(self) -> int:
        """Questions that have come to their end."""
        return sum(map(self.of, ("answered", "wrong", "lost")))


class _Abandoned(Exception):
    """The traffic was stopped while a question was refused."""


class Traffic:
    """`threads` clients of every kind at work between `__enter__` and `__exit__`, or until `limit` questions
    have been asked."""

    def __init__(
        self,
        callers: Mapping[str, Callable[[], Caller]],
        questions: Questions,
        threads: int = 1,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.tally, self.kinds = Tally(), tuple(callers)
        self._questions, self._limit, self._asked = questions, limit, 0
        self._stopping = threading.Event()
        kinds = [(kind, make) for kind, make in callers.items() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(*kind, random.Random(f"{seed} {number}")), daemon=True)
            for number, kind in enumerate(kinds)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def running(self) -> bool:
        """Whether a client is still at work."""
        return any(thread.is_alive() for thread in self._threads)

    def _run(self, kind: str, make: Callable[[], Caller], generator: random.Random) -> None:
        caller = make()
        try:
            while self._takes_one():
                question = self._questions.draw(generator)
                try:
                    answers = self._insist(kind, caller, question)
                except _Abandoned:
                    return
                except Exception as error:
                    self.tally.add(kind, "lost", f"{type(error).__name__}: {error}"[:300])
                    continue
                right = self._questions.is_right(question, answers)
                self.tally.add(
                    kind, "answered" if right else "wrong", "" if right else f"{question} {answers}"
                )
        finally:
            caller.close()

    def _takes_one(self) -> bool:
        with self.tally.lock:
            if self._stopping.is_set() or self._asked == self._limit:
                return False
            self._asked += 1
            return True

    def _insist(self, kind: str, caller: Caller, question: Question) -> list[Answer]:
        """The answer; refusals are counted, and the question is asked again after a pause."""
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                return caller.ask(question)
            except (Refused, BrokenOff) as error:
                self.tally.add(kind, "refused" if isinstance(error, Refused) else "broken off")
                if time.monotonic() > give_up_at:
                    raise
                if self._stopping.wait(PAUSE):
                    raise _Abandoned from None
