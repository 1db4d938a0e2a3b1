"""The state of one bulk run: windows of texts go in, batches come out, answers leave in their order.

It does no input or output, and starts no threads or tasks. So both clients can use it.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from .batching import Batch, plan_batches
from .errors import InvalidText
from .sentiment import Sentiment

Outcome = Sentiment | InvalidText


class Pipeline:
    """Holds at most three windows of texts: two with answers or on their way, and one that is being read."""

    def __init__(self, batch_size: int, batch_bytes: int, window: int) -> None:
        self.window = window
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._planned: deque[Batch] = deque()
        self._outcomes: dict[int, Outcome] = {}
        self._read = 0
        self._given_out = 0
        self._exhausted = False

    @property
    def wants_texts(self) -> bool:
        """Whether `add` should be called before the next `next_batch`."""
        behind = self._read - self._given_out
        return not self._exhausted and not self._planned and behind <= 2 * self.window

    @property
    def done(self) -> bool:
        """Every text was read and every outcome given out."""
        return self._exhausted and self._given_out == self._read

    def add(self, texts: Sequence[str]) -> None:
        """Takes the next texts of the caller, at most `window`; none at all says that there are no more.

        Raises TypeError when one of them is not a str.
        """
        self._exhausted = not texts
        sizes: dict[int, int] = {}
        for position, text in enumerate(texts):
            index = self._read + position
            try:
                sizes[position] = encoded_size(text, index)
            except InvalidText as refusal:
                self._outcomes[index] = refusal
        self._plan(texts, sizes)
        self._read += len(texts)

    def next_batch(self) -> Batch | None:
        """The next request to send, or None when texts or answers must arrive first."""
        return self._planned.popleft() if self._planned else None

    def finish(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        """Takes the outcomes of a batch, one a text."""
        self._outcomes.update(zip(batch.indices, outcomes, strict=True))

    def drain(self) -> Iterator[Outcome]:
        """Gives out, in order, the outcomes that no earlier text still holds back."""
        while self._given_out in self._outcomes:
            outcome = self._outcomes.pop(self._given_out)
            self._given_out += 1
            yield outcome

    def _plan(self, texts: Sequence[str], sizes: dict[int, int]) -> None:
        valid = list(sizes)
        for rows in plan_batches(list(sizes.values()), self._batch_size, self._batch_bytes):
            positions = [valid[row] for row in rows]
            indices = tuple(self._read + position for position in positions)
            self._planned.append(Batch(indices, tuple(texts[position] for position in positions)))


def encoded_size(text: object, index: int) -> int:
    """The length of a text in UTF-8 bytes.

    Raises TypeError when it is no str, InvalidText when it has no UTF-8 form (a lone surrogate).
    """
    if not isinstance(text, str):
        raise TypeError(f"text {index} is {type(text).__name__}, not str{_advice(text)}")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidText("is not valid Unicode: it can't be written as UTF-8", index) from None


def _advice(value: object) -> str:
    return "; decode it first, for instance with .decode('utf-8')" if isinstance(value, bytes) else ""
