"""`--engine local`: a process a core, each with its own tokenizer and session, like the server's lanes.

Processes and not threads: between runs there is Python code, which threads would run one at a time. When a
process is killed, all are started anew, and score again what was not done.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

from bulk.errors import BulkError
from bulk.model import Model
from bulk.scorer import Scorer
from bulk.scores import Scores

# Chunks on their way for each worker: one that runs, one that waits, and one more because costs differ.
AHEAD = 3
DEATHS = 3

_scorer: Scorer | None = None


class LocalEngine:
    """Scores lists of texts, in their order. Its processes live until it is closed."""

    def __init__(self, model: Model, workers: int) -> None:
        self._model, self._workers = model, workers
        self._pool = self._start()

    @property
    def pids(self) -> list[int]:
        """Of the workers that have started."""
        return list(self._pool._processes or {})

    def __call__(self, chunks: Iterator[Sequence[object]]) -> Iterator[Scores]:
        """Raises BulkError where the same texts kill a worker again and again."""
        waiting: deque[tuple[Sequence[object], Future[Scores]]] = deque()
        deaths = 0
        for chunk in chunks:
            waiting.append((chunk, self._submit(chunk)))
            if len(waiting) < AHEAD * self._workers:
                continue
            deaths = self._settle(waiting, deaths)
            yield waiting.popleft()[1].result()
        while waiting:
            deaths = self._settle(waiting, deaths)
            yield waiting.popleft()[1].result()

    def _settle(self, waiting: "deque[tuple[Sequence[object], Future[Scores]]]", deaths: int) -> int:
        """Waits for the first; when a worker has died, all that are not done start again."""
        while isinstance(waiting[0][1].exception(), BrokenProcessPool):
            deaths += 1
            if deaths == DEATHS:
                raise BulkError(
                    f"workers died {DEATHS} times on the same texts: is memory short? Try fewer --workers"
                )
            self.close()
            self._pool = self._start()
            for place, (chunk, future) in enumerate(waiting):
                if not future.done() or future.exception() is not None:
                    waiting[place] = (chunk, self._submit(chunk))
        return 0

    def _submit(self, chunk: Sequence[object]) -> "Future[Scores]":
        try:
            return self._pool.submit(_score, chunk)
        except BrokenProcessPool as error:
            failed: Future[Scores] = Future()
            failed.set_exception(error)
            return failed

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, _begin, (self._model,))

    def close(self) -> None:
        """Ends the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _begin(model: Model) -> None:
    global _scorer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()
    _scorer = Scorer(model)


def one_thread() -> None:
    """Keeps the tokenizer on one core: the others have workers of their own."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _end_with_parent() -> None:
    """Ends this worker with its driver: a driver that is killed can't tell it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _score(chunk: Sequence[object]) -> Scores:
    assert _scorer is not None
    return _scorer(chunk)
