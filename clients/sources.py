"""Where texts come from: lists, iterators, asynchronous iterators."""

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

Source = Iterator[str] | AsyncIterator[str]


def check_list(texts: Iterable[str]) -> Iterable[str]:
    """Returns its argument; raises TypeError for a lone str, which would be read letter by letter."""
    if isinstance(texts, str | bytes):
        raise TypeError("classify takes a list of texts; for a single one use classify_one")
    return texts


async def next_texts(source: Source, count: int) -> list[str]:
    """The next `count` texts of a source, fewer at its end."""
    if isinstance(source, Iterator):
        return list(islice(source, count))
    texts: list[str] = []
    while len(texts) < count:
        try:
            texts.append(await anext(source))
        except StopAsyncIteration:
            break
    return texts
