"""`--engine triton`: through a running server, with the SDK's flow control."""

from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from bulk.errors import BulkError
from bulk.scores import Answer, Scores, blank
from bulk.texts import BadText, as_text
from clients import InvalidText, Limits, SentimentClient, SentimentError
from clients.endpoint import Protocol
from clients.pipeline import Outcome
from clients.tensors import read_parameter
from export.checkpoint.problem_types import SINGLE


class TritonEngine:
    """Scores lists of texts, in their order.

    Raises BulkError where the server can't be reached or lacks the model, and when it goes away for good.
    """

    def __init__(self, url: str | None, protocol: Protocol, model: str, in_flight: int) -> None:
        limits = Limits(max_in_flight=in_flight)
        try:
            self._client = SentimentClient(url, protocol, model, limits, background=True)
            self._client.connect()
            config = self._client.model_config()
        except (SentimentError, ValueError) as error:
            raise BulkError(str(error)) from None
        labels = self._client.labels()
        self.answer = Answer(read_parameter(config, "problem_type") or SINGLE, len(labels) or 2)
        versions = config.get("version_policy", {}).get("specific", {}).get("versions", [])
        self.identity = {"model": model, "model_version": ",".join(map(str, versions)) or "latest"}
        self.identity["checkpoint_sha256"] = read_parameter(config, "checkpoint_sha256")

    def __call__(self, chunks: Iterator[Sequence[object]]) -> Iterator[Scores]:
        """The texts of all lists are sent as one stream; the answers come in the same lists."""
        prepared: deque[list[str | BadText]] = deque()
        outcomes = self._client.outcomes(_stream(chunks, prepared))
        try:
            for outcome in outcomes:
                yield from self._without_texts(prepared)
                yield self._scores(prepared.popleft(), outcome, outcomes)
            yield from self._without_texts(prepared)
        except SentimentError as error:
            raise BulkError(f"{error} (what is done is kept: run the same command again)") from None

    def _without_texts(self, prepared: "deque[list[str | BadText]]") -> Iterator[Scores]:
        while prepared and not any(isinstance(each, str) for each in prepared[0]):
            yield self._scores(prepared.popleft(), None, iter(()))

    def _scores(
        self, chunk: Sequence[str | BadText], first: Outcome | None, others: Iterator[Outcome]
    ) -> Scores:
        scores = blank(len(chunk), self.answer.width, self.answer.several)
        for place, each in enumerate(chunk):
            if isinstance(each, BadText):
                scores.error[place] = each.reason
                continue
            outcome, first = first or next(others), None
            if isinstance(outcome, InvalidText):
                scores.error[place] = f"the text {outcome.reason}"
                continue
            scores.label[place], scores.score[place] = outcome.label, outcome.score
            scores.probabilities[place] = outcome.values or outcome.probabilities
            scores.num_tokens[place], scores.truncated[place] = outcome.num_tokens, outcome.truncated
            if scores.labels is not None:
                scores.labels[place] = list(outcome.labels or ())
        return scores

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _stream(chunks: Iterator[Sequence[object]], prepared: "deque[list[str | BadText]]") -> Iterator[str]:
    for chunk in chunks:
        texts = [as_text(value) for value in chunk]
        prepared.append(texts)
        yield from (text for text in texts if isinstance(text, str))
