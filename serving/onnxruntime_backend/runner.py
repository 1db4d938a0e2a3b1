"""Runs the model on what waits: a thread for each session, all of them fed from one queue.

Rows of a batch do not influence each other. So where a model takes a ragged batch, rows of any requests may
share a run; :mod:`plan` chooses them. Other models get whole requests, as many together as fit.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy

import onnxruntime as ort

from serving.onnxruntime_backend.busy_flag import BusyFlag
from serving.onnxruntime_backend.limits import QueueLimits
from serving.onnxruntime_backend.line import Piece
from serving.onnxruntime_backend.merging import Outcome, Request, gather, row_lengths, rows, scatter
from serving.onnxruntime_backend.plan import LARGEST, plan_runs
from serving.onnxruntime_backend.rate import Rate
from serving.onnxruntime_backend.request_queue import (
    Cancelled,
    Expired,
    Refused,
    RequestQueue,
    Totals,
    Waiting,
)
from serving.onnxruntime_backend.session import padding_id
from serving.onnxruntime_backend.settings import ModelSettings
from serving.onnxruntime_backend.tickets import Ticket
from serving.onnxruntime_backend.utilization import Utilization

# Batch inputs whose values for a row do not depend on the other rows.
ROWWISE = {"BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"}
# A run is chosen from so many tokens that are due first. With more, rows of a run would be closer in length,
# but each would wait longer.
WINDOW = 8192
# A request that has waited so long (seconds) may have lost its client. Asking Triton takes 0.1 ms.
WORTH_ASKING = 0.05
# A request that comes so soon (seconds) after an answer had waited for that run: no client asks so fast.
AT_ONCE = 0.0003


class Runner:
    """One model instance. `open_session(threads)` loads the model: once for runs on all `threads` and, where
    batches are cut, once more for each of `lanes` that run side by side on a share of the threads.

    `cut=False` runs requests whole, as a GPU wants it. `busy_flag` is shown while the queue is full.
    """

    def __init__(
        self,
        settings: ModelSettings,
        threads: int,
        open_session: Callable[[int], ort.InferenceSession],
        options: ort.RunOptions | None = None,
        cut: bool = True,
        lanes: int | None = None,
        limits: QueueLimits | None = None,
        busy_flag: BusyFlag | None = None,
    ) -> None:
        self.settings, self.threads, self.options = settings, threads, options
        self.session = open_session(threads)
        self.source = ragged_source(settings) if cut else None
        self.padding = padding_id(self.session)
        self.lanes = min(lanes or threads, threads) if self.source else 1
        self.width = threads // self.lanes  # threads of a lane
        self.utilization = Utilization()
        self.busy_flag = busy_flag
        self.queue = RequestQueue(limits or QueueLimits(), Rate(threads), time.monotonic)
        self._changed = threading.Condition()
        self._running, self._alone, self._stopped = (
            0,
            False,
            False,
        )  # runs under way; whether one has all threads; whether `stop` was called
        self._answered = float("-inf")  # when a caller's thread has last ended a run
        sessions = [open_session(self.width) for _ in range(self.lanes)] if self.lanes > 1 else [self.session]
        self._workers = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in sessions]
        for worker in self._workers:
            worker.start()

    def ticket_sizes(self, request: Request) -> list[int]:
        """Tokens of each row that may be run apart; of the whole request where it is not cut."""
        if self.source is None or self.source not in request:
            return [max(1, max((array.size for array in request.values()), default=1))]
        return row_lengths(request[self.source], self.padding)

    def submit(self, tickets: Sequence[Ticket]) -> list[Refused | None]:
        """Accept or refuse requests, at once. Other threads answer those that are accepted."""
        with self._changed:
            if self._running or self.queue or len(tickets) > 1:
                self.utilization.meet()
            refusals = [self._offer(ticket) for ticket in tickets]
            self._changed.notify_all()
            self._tell_busy(refusals)
        return refusals

    def _tell_busy(self, refusals: Sequence[Refused | None]) -> None:
        late = next((each for each in refusals if each and each.reason == "time"), None)
        if self.busy_flag and late and (seconds := self.queue.full_for()):
            self.busy_flag.show(time.monotonic() + seconds, str(late))

    def run_alone(self, ticket: Ticket) -> bool:
        """Answer a request of one short row in the caller's thread, if no requests have met lately.

        False: nothing was done, submit it. The runner's own threads cost a lone client two changes of thread,
        which counts for a sentence in a small model.
        """
        with self._changed:
            if not self._may_run_alone(ticket):
                return False
            self.queue.offer(ticket)
            pieces, _ = self._choose()
            self._begin(pieces, alone=True)
        self._run(pieces, self.session, self.threads, time.monotonic())
        self._answered = time.monotonic()
        return True

    def _may_run_alone(self, ticket: Ticket) -> bool:
        if self.source is None or len(ticket.sizes) > 1 or ticket.tokens > LARGEST:
            return False
        if self._running or self.queue or self._stopped:
            return False
        if time.monotonic() - self._answered < AT_ONCE:
            self.utilization.meet()
        return self.utilization.is_light()

    def _offer(self, ticket: Ticket) -> Refused | None:
        try:
            self.queue.offer(ticket)
        except Refused as refusal:
            return refusal
        return None

    def snapshot(self) -> tuple[Waiting, Totals, float]:
        """What waits, what has become of requests so far, and the measured tokens a second."""
        with self._changed:
            totals = deepcopy(self.queue.totals)
            totals.refused["time"] += self.busy_flag.refused if self.busy_flag else 0
            return self.queue.waiting(), totals, self.queue.rate.tokens_per_second

    def stop(self, seconds: float) -> None:
        """Refuse new requests, answer those that wait, and end. What is left after `seconds` is given up."""
        with self._changed:
            self.queue.stop()
            self._stopped = True
            self._changed.notify_all()
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _work(self, session: ort.InferenceSession) -> None:
        while True:
            free = time.monotonic()
            with self._changed:
                while self._alone or not (self.queue or self._stopped):
                    self._changed.wait()
                    free = time.monotonic()
                if not self.queue:
                    return
                late = self.queue.expire()
                pieces, alone = self._choose() if self.queue else ([], False)
                self._begin(pieces, alone)
            for ticket in late:
                ticket.end(Expired("the deadline of this request passed before an answer was ready"))
            self._run(pieces, self.session if alone else session, self.threads if alone else self.width, free)

    def _run(self, pieces: Sequence[Piece], session: ort.InferenceSession, threads: int, free: float) -> None:
        """Run these pieces, which have begun, and answer them. `free`: when the threads became free."""
        outcomes = self._perform(pieces, session, threads)
        tokens = sum(piece.tokens for piece, _ in outcomes)
        self._finish(pieces, tokens, threads * (time.monotonic() - free))
        for piece, outcome in outcomes:
            piece.ticket.post(piece.row, outcome)

    def _begin(self, pieces: Sequence[Piece], alone: bool) -> None:
        self.queue.take(pieces)
        self._running += 1
        self._alone = alone

    def _finish(self, pieces: Sequence[Piece], tokens: int, core_seconds: float) -> None:
        """Called before the answers are sent: a lone client's next request must not meet this one.

        `core_seconds`: the time that these `tokens` took, times the threads. Where work waited all the time,
        it includes the pause since the run before.
        """
        with self._changed:
            self.queue.rate.record(tokens, core_seconds)
            self.queue.done(pieces)
            self._running -= 1
            self._alone = False
            self._changed.notify_all()

    def _choose(self) -> tuple[list[Piece], bool]:
        """The run that holds the piece due first, and whether it gets all threads.

        One row alone is faster on all threads, but two rows are faster on one each.
        """
        if self.source is None:
            return self._whole_requests(), False
        due = self.queue.first(WINDOW, self.settings.max_batch_size)
        plan = plan_runs([piece.tokens for piece in due], self.lanes)
        run = next(run for run in plan.runs if 0 in run)
        alone = not self._running and self.utilization.is_light() and not plan.side_by_side
        return [due[number] for number in run], alone and self.lanes > 1

    def _whole_requests(self) -> list[Piece]:
        """The first request, and those after it that fit into a run with it."""
        first, *others = self.queue.first(sys.maxsize, max(1, self.settings.max_batch_size))
        room = self.settings.max_batch_size - rows(first.ticket.inputs, self.settings)
        run = [first]
        for piece in others:
            size = rows(piece.ticket.inputs, self.settings)
            if size <= room and self._alike(first.ticket.inputs, piece.ticket.inputs):
                run.append(piece)
                room -= size
        return run

    def _alike(self, one: Request, other: Request) -> bool:
        ragged = {tensor.name for tensor in self.settings.inputs if tensor.ragged}
        return one.keys() == other.keys() and all(
            name in ragged or one[name].shape[1:] == other[name].shape[1:] for name in one
        )

    def _perform(
        self, pieces: Sequence[Piece], session: ort.InferenceSession, threads: int
    ) -> list[tuple[Piece, Outcome]]:
        """Run the model on the pieces that somebody waits for; never raises."""
        pieces = self._without_gone(pieces)
        if not pieces:
            return []
        asked = {name for piece in pieces for name in piece.ticket.names}
        names = [tensor.name for tensor in self.settings.outputs if tensor.name in asked]
        inputs = [piece.ticket.piece(piece.row) for piece in pieces]
        began = time.monotonic()
        with self.utilization.run(threads):
            outcomes = self._attempt(session, inputs, names)
        _tell_traced(pieces, began)
        return list(zip(pieces, outcomes, strict=True))

    def _without_gone(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Only the pieces whose requests somebody waits for."""
        now = time.monotonic()
        asked = {piece.ticket for piece in pieces if now - piece.ticket.arrived > WORTH_ASKING}
        gone = {ticket for ticket in asked if _is_gone(ticket)}
        for ticket in gone:
            with self._changed:
                self.queue.cancel(ticket)
            ticket.end(Cancelled("the request was cancelled"))
        return [piece for piece in pieces if piece.ticket not in gone] if gone else pieces

    def _attempt(
        self, session: ort.InferenceSession, inputs: list[Request], names: Sequence[str]
    ) -> Sequence[Outcome]:
        """A run that fails is repeated piece by piece, so that only the request that causes it fails."""
        try:
            values = session.run(names, gather(inputs, self.settings), self.options)
            return scatter(dict(zip(names, values, strict=True)), inputs, self.settings)
        except Exception as error:
            if len(inputs) == 1:
                return [error]
            return [outcome for each in inputs for outcome in self._attempt(session, [each], names)]


def _tell_traced(pieces: Sequence[Piece], began: float) -> None:
    for ticket in {piece.ticket for piece in pieces if piece.ticket.ran}:
        assert ticket.ran is not None
        own = [piece.tokens for piece in pieces if piece.ticket is ticket]
        try:
            ticket.ran(ticket.arrived, began, len(pieces), own)
        except Exception:  # a failed trace must not cost the answer
            traceback.print_exc()


def _is_gone(ticket: Ticket) -> bool:
    try:
        return ticket.is_gone()
    except Exception:  # Triton could not be asked
        traceback.print_exc()
        return False


def ragged_source(settings: ModelSettings) -> str | None:
    """The input whose row lengths say what a row costs; None where a request has to be run whole."""
    ragged = [tensor.name for tensor in settings.inputs if tensor.ragged]
    rowwise = {each.kind for each in settings.batch_inputs} <= ROWWISE and not settings.batch_outputs
    return ragged[0] if ragged and rowwise and settings.max_batch_size else None
