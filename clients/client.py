"""The client for ordinary, threaded code."""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from . import background_loop
from .async_client import AsyncSentimentClient
from .endpoint import Protocol
from .errors import InvalidText
from .limits import Limits
from .pipeline import Outcome
from .sentiment import Sentiment
from .sources import check_list
from .tasks import Task, TaskClient
from .uploads import Texts


class SentimentClient:
    """Classifies texts; any number of threads may share it. Arguments as for AsyncSentimentClient.

    gateway: URL of the REST gateway, which runs background tasks; default http://127.0.0.1:8080.

        with SentimentClient("127.0.0.1:8000") as client:
            sentiments = client.classify(["Great film", "Bad"])

    tritonclient's own HTTP client belongs to one thread. Here every request runs on one background event
    loop, so threads share the connections, `Limits.max_in_flight` holds for all of them together, and Ctrl-C
    drops what is on its way at once.
    """

    def __init__(
        self,
        url: str | None = None,
        protocol: Protocol = "http",
        model: str = "sentiment",
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        background: bool = False,
        gateway: str | None = None,
    ) -> None:
        self._gateway = gateway
        self._client = AsyncSentimentClient(url, protocol, model, limits, headers, background)
        # A client that is dropped without close() must not leave its connections open.
        weakref.finalize(self, background_loop.close_later, self._client.close)

    def classify(self, texts: Iterable[str], traceparent: str = "") -> list[Sentiment]:
        """One sentiment for each text, in the order of the texts. Several requests are sent at a time.

        traceparent: a W3C trace context. A server that traces adds its spans to it.
        Raises TypeError for anything that is not a list of str, InvalidText for a text that is refused (the
        first one), ServerUnavailable (or its child ServerBusy) when retries did not help, RequestTimeout,
        ModelNotFound, UnsuitableModel, or ServerError.
        """
        return background_loop.run(self._client.classify(list(check_list(texts)), traceparent))

    def classify_one(self, text: str, traceparent: str = "") -> Sentiment:
        """The sentiment of one text; raises what `classify` raises."""
        return self.classify([text], traceparent)[0]

    def stream(self, texts: Iterable[str], traceparent: str = "") -> Iterator[Sentiment]:
        """Like `classify`, for any number of texts: answers arrive in order, memory is bounded.

        An iterator is read in a thread of its own, so that no answer waits for the next text.
        """
        for outcome in self.outcomes(texts, traceparent):
            if isinstance(outcome, InvalidText):
                raise outcome
            yield outcome

    def outcomes(self, texts: Iterable[str], traceparent: str = "") -> Iterator[Outcome]:
        """Like `stream`, but a refused text gives its InvalidText in its place and ends nothing."""
        lists = self._client.outcome_lists(texts, traceparent=traceparent)
        try:
            while (outcomes := background_loop.next_of(lists)) is not None:
                yield from outcomes
        finally:
            background_loop.close_generator(lists)

    def submit(self, texts_or_file: Texts, text_column: str | None = None) -> Task:
        """Sends a file (by its path) or any number of texts as a background task of this client's model.

        The task outlives this client and the server; see TaskClient.submit for what it takes and raises.
        """
        return TaskClient(self._gateway).submit(texts_or_file, self._client.model, text_column)

    def connect(self) -> None:
        """Checks, without retries, that the server is there and the model fits. Calling it is optional."""
        background_loop.run(self._client.connect())

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Returns once the model can answer; raises ServerUnavailable when it can't in `timeout` seconds."""
        background_loop.run(self._client.wait_until_ready(timeout))

    def model_config(self) -> Mapping[str, Any]:
        """The model's configuration in Triton's JSON form: its versions, tensors and parameters."""
        return background_loop.run(self._client.model_config())

    def labels(self) -> tuple[str, ...]:
        """The names of the model's labels, in the order of `probabilities` (regression: `values`)."""
        return background_loop.run(self._client.labels())

    def is_ready(self) -> bool:
        """Whether the server answers and the model is loaded; never raises for a server that is down."""
        return background_loop.run(self._client.is_ready())

    def close(self) -> None:
        """Closes the connections; further calls raise RuntimeError."""
        background_loop.run(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
