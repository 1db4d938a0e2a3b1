"""Bulk input: the lines of a stream as texts, each kept beside its outcome."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from clients.client import SentimentClient
from clients.pipeline import Outcome


def read_lines(stream: BinaryIO) -> Iterator[str]:
    """One text a line, without its line end. An empty line is an empty text: answer N is for line N.

    Bytes that are not UTF-8 become surrogates, which the client refuses for that one line.
    """
    for line in stream:
        yield line.decode("utf-8", errors="surrogateescape").rstrip("\r\n")


def paired(client: SentimentClient, texts: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    """Each text with its outcome, in order; holds only the texts that are on their way."""
    waiting: deque[str] = deque()

    def remembered() -> Iterator[str]:
        for text in texts:
            waiting.append(text)
            yield text

    for outcome in client.outcomes(remembered()):
        yield waiting.popleft(), outcome
