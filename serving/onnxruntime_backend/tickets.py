"""A request: what it asks, what its rows cost, and its one answer."""

import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving.onnxruntime_backend.merging import Outcome, Request

Answer = Callable[[Outcome], None]  # called once, from any thread
Ran = Callable[[float, float, int, Sequence[int]], None]  # arrival, begin, rows, tokens of each of its own
NOT_TOGETHER = "the rows of this request have outputs of different shapes, which one answer cannot hold"


def _never() -> bool:
    return False


@dataclass(eq=False)
class Ticket:
    """One request. `sizes`: tokens of each row that may be run apart (one entry: the request is run whole).

    `timeout`: seconds until its answer is worth nothing. `is_cancelled` asks Triton whether the client is
    gone. `ran` is called after each run of its rows, where the request is traced. The queue sets `arrived`
    and `deadline`, in seconds of its clock.
    """

    inputs: Request
    sizes: Sequence[int]
    names: Sequence[str]
    answer: Answer
    background: bool = False
    timeout: float = float("inf")
    is_cancelled: Callable[[], bool] = _never
    ran: Ran | None = None
    arrived: float = 0.0
    deadline: float = float("inf")
    _ended: bool = field(default=False, init=False)
    _outcomes: dict[int, Outcome] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def ended(self) -> bool:
        """Whether it has been answered."""
        return self._ended

    @property
    def tokens(self) -> int:
        """Of all rows."""
        return sum(self.sizes)

    @property
    def nbytes(self) -> int:
        """Of the inputs."""
        return sum(_nbytes(array) for array in self.inputs.values())

    def keep_inputs(self) -> None:
        """Copy the inputs: Triton uses their shared memory again when `execute` has returned."""
        self.inputs = {name: array.copy() for name, array in self.inputs.items()}

    def piece(self, row: int) -> Request:
        """The inputs of this row, or all of them where the request is run whole."""
        if len(self.sizes) == 1:
            return self.inputs
        return {name: array[row : row + 1] for name, array in self.inputs.items()}

    def post(self, row: int, outcome: Outcome) -> None:
        """The outcome of a row; the last one answers the request."""
        with self._lock:
            self._outcomes[row] = outcome
            done = len(self._outcomes) == len(self.sizes)
        if done:
            self.end(join([self._outcomes[number] for number in range(len(self.sizes))], self.names))

    def end(self, outcome: Outcome) -> None:
        """Answer it, if it has no answer yet. Never raises: a failure here must not harm other requests.

        An answer that cannot be sent (no shared memory is left) is replaced by an error, which is smaller.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
        for attempt in (outcome, None):
            try:
                self.answer(RuntimeError("the answer could not be sent") if attempt is None else attempt)
                return
            except Exception:
                traceback.print_exc()

    def is_gone(self) -> bool:
        """Whether nobody waits for it. Under the lock: Triton must not be asked about an answered request."""
        with self._lock:
            return self._ended or self.is_cancelled()


def join(parts: Sequence[Outcome], names: Sequence[str]) -> Outcome:
    """The outputs of these names, a request's rows put together again; or the first error among its parts.

    A part may hold more outputs, as other requests of its run asked for them.
    """
    outputs = []
    for part in parts:
        if isinstance(part, Exception):
            return part
        outputs.append(part)
    wanted = [name for name in names if name in outputs[0]]
    if len(outputs) == 1:
        return {name: outputs[0][name] for name in wanted}
    try:
        return {name: np.concatenate([each[name] for each in outputs]) for name in wanted}
    except (KeyError, ValueError):
        return RuntimeError(NOT_TOGETHER)


def _nbytes(array: np.ndarray) -> int:
    if array.dtype == np.object_:
        return sum(len(each) for each in array.ravel())
    return array.nbytes
