"""Bulk input: the lines of a stream as texts, each kept beside its outcome."""

import os
from collections import deque
from collections.abc import Iterable, Iterator

from .client import SentimentClient
from .pipeline import Outcome

READ_BYTES = 1 << 16


def read_lines(descriptor: int) -> Iterator[str]:
    """One text a line of an open file, without its line end. An empty line is an empty text: answer N is for
    line N. Bytes that are not UTF-8 become surrogates, which the client refuses for that one line.

    Reads the descriptor itself: Python can't end while a thread waits inside its buffered standard input.
    """
    started: list[bytes] = []
    while chunk := os.read(descriptor, READ_BYTES):
        head, *rest = chunk.split(b"\n")
        started.append(head)
        if rest:
            yield from map(_text, [b"".join(started), *rest[:-1]])
            started = [rest[-1]]
    if any(started):
        yield _text(b"".join(started))


def paired(client: SentimentClient, texts: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    """Each text with its outcome, in order; holds only the texts that are on their way."""
    waiting: deque[str] = deque()

    def remembered() -> Iterator[str]:
        for text in texts:
            waiting.append(text)
            yield text

    for outcome in client.outcomes(remembered()):
        yield waiting.popleft(), outcome


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", errors="surrogateescape")
