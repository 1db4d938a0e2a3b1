"""Everything that can go wrong with a request, as types whose message says what to do about it."""


class SentimentError(Exception):
    """The base of every error of this package. `retryable`: the same request may succeed a little later."""

    retryable = False


class ServerUnavailable(SentimentError):
    """Nothing answers at the address, the connection broke, or the server is starting or stopping."""

    retryable = True


class ServerBusy(ServerUnavailable):
    """The server refused the request because its queue is full or the request waited there too long.

    retry_after: the seconds after which the server asks to be tried again, None where it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerUnreachable(ServerUnavailable):
    """The address can't be right: the host has no such name, or another protocol answers there."""

    retryable = False


class RequestTimeout(SentimentError):
    """No answer within `Limits.timeout` seconds. Not retried: the server may still be at work on it."""


class InvalidText(SentimentError, ValueError):
    """The text itself is refused, by this client or by the server.

    reason: why, in words that follow "text 3 ". index: the place of the text in the list or stream that was
    given to the client, from 0.
    """

    def __init__(self, reason: str, index: int = 0) -> None:
        super().__init__(f"text {index} {reason}")
        self.reason = reason
        self.index = index


class ModelNotFound(SentimentError):
    """The server has no model of this name."""


class UnsuitableModel(SentimentError):
    """The model exists, and does not map a text to a label."""


class ServerError(SentimentError):
    """The server answered with an error that none of the other types covers."""
