"""Runs the model on a batch of requests and answers each request as soon as its rows are done.

Triton may batch requests in any way, and batch items do not know of each other, so a ragged batch may be cut
anywhere between rows; :mod:`plan` says where that pays. A rectangular batch goes to the model whole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from serving.onnxruntime_backend.batching import Answer, Outputs, Request, gather, scatter
from serving.onnxruntime_backend.plan import Plan, plan_runs
from serving.onnxruntime_backend.settings import Settings

Outcomes = Sequence[Outputs | Exception]
# Batch inputs whose values for a row do not depend on the other rows.
ROWWISE = {"BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"}


@dataclass(frozen=True)
class Piece:
    """What is not cut further: a row of the request number `owner`, or the whole of it."""

    owner: int
    inputs: Request


class Runner:
    """One model instance. `open_session(threads)` loads the model; where batches are cut, it is loaded twice:
    for
    runs on all `threads`, and for runs side by side on one thread each.

    `cut=False` runs every batch whole, as a GPU wants it.
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
        self.session = self.alone = open_session(threads)
        self.source = ragged_source(settings) if cut else None
        if self.source and threads > 1:
            self.alone = open_session(1)
        self._pool = ThreadPoolExecutor(threads)

    def answers(self, batch: Sequence[tuple[int, Request]], names: Sequence[str]) -> Iterator[list[Answer]]:
        """Outputs or an error for every numbered request; each item lists those that one run completed.

        A run that fails is repeated piece by piece, so that a failure costs only the request that causes it.
        """
        pieces = [piece for owner, request in batch for piece in self._cut(owner, request)]
        missing: dict[int, set[int]] = defaultdict(set)
        for number, piece in enumerate(pieces):
            missing[piece.owner].add(number)
        outcomes: dict[int, Outputs | Exception] = {}
        order = {owner: sorted(numbers) for owner, numbers in missing.items()}
        for run, results in self._execute(pieces, self._plan(pieces), names):
            outcomes.update(zip(run, results, strict=True))
            owners = dict.fromkeys(pieces[number].owner for number in run)
            for owner in owners:
                missing[owner].difference_update(run)
            yield [(each, _join([outcomes[n] for n in order[each]])) for each in owners if not missing[each]]

    def _cut(self, owner: int, request: Request) -> list[Piece]:
        if self.source is None or self.source not in request or len(request[self.source]) < 2:
            return [Piece(owner, request)]
        rows = range(len(request[self.source]))
        return [Piece(owner, {name: array[row : row + 1] for name, array in request.items()}) for row in rows]

    def _plan(self, pieces: Sequence[Piece]) -> Plan:
        if self.source is None or any(self.source not in piece.inputs for piece in pieces):
            return Plan((tuple(range(len(pieces))),), side_by_side=False)
        return plan_runs([piece.inputs[self.source].size for piece in pieces], self.threads)

    def _execute(
        self, pieces: Sequence[Piece], plan: Plan, names: Sequence[str]
    ) -> Iterator[tuple[tuple[int, ...], Outcomes]]:
        """Each run of the plan with the outcomes of its pieces, as it ends."""
        inputs = {run: [pieces[number].inputs for number in run] for run in plan.runs}
        if not plan.side_by_side:
            yield from ((run, self._attempt(self.session, inputs[run], names)) for run in plan.runs)
            return
        futures: dict[Future[Outcomes], tuple[int, ...]] = {
            self._pool.submit(self._attempt, self.alone, inputs[run], names): run for run in plan.runs
        }
        yield from ((futures[future], future.result()) for future in as_completed(futures))

    def _attempt(
        self, session: ort.InferenceSession, inputs: list[Request], names: Sequence[str]
    ) -> Outcomes:
        try:
            values = session.run(names, gather(inputs, self.settings), self.options)
            return scatter(dict(zip(names, values, strict=True)), inputs, self.settings)
        except Exception as error:
            if len(inputs) == 1:
                return [error]
            return [outcome for each in inputs for outcome in self._attempt(session, [each], names)]


def ragged_source(settings: Settings) -> str | None:
    """The input whose row lengths say what a row costs; None where a batch has to be run as it came."""
    ragged = [tensor.name for tensor in settings.inputs if tensor.ragged]
    rowwise = {each.kind for each in settings.batch_inputs} <= ROWWISE and not settings.batch_outputs
    return ragged[0] if ragged and rowwise and settings.max_batch_size else None


def _join(parts: Sequence[Outputs | Exception]) -> Outputs | Exception:
    """A request's rows put together again, or the first error among them."""
    outputs = []
    for part in parts:
        if isinstance(part, Exception):
            return part
        outputs.append(part)
    if len(outputs) == 1:
        return outputs[0]
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
