"""Runs the model on batches of requests and answers each request as soon as its rows are done.

Triton may batch requests in any way, and batch items do not know of each other, so a ragged batch may be cut
anywhere between rows; :mod:`plan` says where that pays. A rectangular batch goes to the model whole.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort

from serving.onnxruntime_backend.batching import Answer, Outcome, Request, gather, scatter
from serving.onnxruntime_backend.load import Load
from serving.onnxruntime_backend.plan import Plan, plan_runs
from serving.onnxruntime_backend.settings import Settings
from serving.onnxruntime_backend.workers import Workers

# Batch inputs whose values for a row do not depend on the other rows.
ROWWISE = {"BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"}


@dataclass(frozen=True)
class Piece:
    """What is not cut further: a row of the request number `owner`, or the whole of it."""

    owner: int
    inputs: Request


class Runner:
    """One model instance. `open_session(threads)` loads the model: once for runs on all `threads` and, where
    batches are cut, once more for each thread. `cut=False` runs every batch whole, as a GPU wants it.
    """

    def __init__(
        self,
        settings: Settings,
        threads: int,
        open_session: Callable[[int], ort.InferenceSession],
        options: ort.RunOptions | None = None,
        cut: bool = True,
    ) -> None:
        self.settings, self.threads, self.options = settings, threads, options
        self.session = open_session(threads)
        self.source = ragged_source(settings) if cut else None
        side_by_side = threads if self.source and threads > 1 else 0
        self.workers = Workers([open_session(1) for _ in range(side_by_side)])
        self.load = Load()

    def run(self, batch: Sequence[tuple[int, Request]], names: Sequence[str], answer: Answer) -> None:
        """Answer every numbered request with its outputs or an error, as soon as its last row is done.

        Returns when a core has nothing to do, so that it gets the next batch; runs of this one may still be
        under way then. A run that fails is repeated piece by piece, so that a failure costs only the request
        that causes it.
        """
        if not batch:
            return
        self.load.arrive()
        pieces = [piece for owner, request in batch for piece in self._cut(owner, request)]
        plan = self._plan(pieces)
        if self._takes_all_threads(plan):
            board = _Board(pieces, answer)
            for run in plan.runs:
                self._perform(board, run, names, self.threads, self.session)
        else:
            board = _Board([_copy(piece) for piece in pieces], answer)
            self.workers.submit(partial(self._perform, board, run, names, 1) for run in plan.runs)
        self.load.leave()

    def _cut(self, owner: int, request: Request) -> list[Piece]:
        if self.source is None or self.source not in request or len(request[self.source]) < 2:
            return [Piece(owner, request)]
        rows = range(len(request[self.source]))
        return [Piece(owner, {name: array[row : row + 1] for name, array in request.items()}) for row in rows]

    def _plan(self, pieces: Sequence[Piece]) -> Plan:
        if self.source is None or any(self.source not in piece.inputs for piece in pieces):
            return Plan((tuple(range(len(pieces))),), side_by_side=False)
        return plan_runs([piece.inputs[self.source].size for piece in pieces], self.threads)

    def _takes_all_threads(self, plan: Plan) -> bool:
        """Whether the runs take turns on all threads, not one thread each.

        A lone row answers sooner on all threads, but two rows are done sooner on one each.
        """
        if self.source is None or self.threads == 1:
            return True
        return self.load.is_light() and not plan.side_by_side

    def _perform(
        self,
        board: "_Board",
        run: tuple[int, ...],
        names: Sequence[str],
        threads: int,
        session: ort.InferenceSession,
    ) -> None:
        with self.load.run(threads):
            outcomes = self._attempt(session, [board.pieces[number].inputs for number in run], names)
        board.post(run, outcomes)

    def _attempt(
        self, session: ort.InferenceSession, inputs: list[Request], names: Sequence[str]
    ) -> Sequence[Outcome]:
        try:
            values = session.run(names, gather(inputs, self.settings), self.options)
            return scatter(dict(zip(names, values, strict=True)), inputs, self.settings)
        except Exception as error:
            if len(inputs) == 1:
                return [error]
            return [outcome for each in inputs for outcome in self._attempt(session, [each], names)]


class _Board:
    """Outcomes of a batch's pieces; answers a request when the last of its own is posted."""

    def __init__(self, pieces: Sequence[Piece], answer: Answer) -> None:
        self.pieces = pieces
        self._numbers: dict[int, list[int]] = defaultdict(list)  # of the pieces of each owner, in their order
        for number, piece in enumerate(pieces):
            self._numbers[piece.owner].append(number)
        self._missing = {owner: len(numbers) for owner, numbers in self._numbers.items()}
        self._outcomes: dict[int, Outcome] = {}
        self._answer, self._lock = answer, threading.Lock()

    def post(self, run: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """The outcomes of these pieces."""
        owners = [self.pieces[number].owner for number in run]
        with self._lock:
            self._outcomes.update(zip(run, outcomes, strict=True))
            for owner in owners:
                self._missing[owner] -= 1
            done = [owner for owner in dict.fromkeys(owners) if not self._missing[owner]]
        for owner in done:
            self._answer(owner, _join([self._outcomes[number] for number in self._numbers[owner]]))


def _copy(piece: Piece) -> Piece:
    """For a run that may outlast `execute`: Triton may use the inputs' shared memory again after that."""
    return Piece(piece.owner, {name: array.copy() for name, array in piece.inputs.items()})


def ragged_source(settings: Settings) -> str | None:
    """The input whose row lengths say what a row costs; None where a batch has to be run as it came."""
    ragged = [tensor.name for tensor in settings.inputs if tensor.ragged]
    rowwise = {each.kind for each in settings.batch_inputs} <= ROWWISE and not settings.batch_outputs
    return ragged[0] if ragged and rowwise and settings.max_batch_size else None


def _join(parts: Sequence[Outcome]) -> Outcome:
    """A request's rows put together again, or the first error among them."""
    outputs = []
    for part in parts:
        if isinstance(part, Exception):
            return part
        outputs.append(part)
    if len(outputs) == 1:
        return outputs[0]
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
