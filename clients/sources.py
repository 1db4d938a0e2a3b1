"""Where texts come from: lists, iterators, asynchronous iterators; all of them become windows of texts.

A window is sent when it is full, or when its first text has waited for `seconds`. So a slow source gets
answers while it goes on, not all at its end.
"""

import asyncio
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

Texts = Iterable[str] | AsyncIterable[str]


@dataclass(frozen=True)
class End:
    """The source's end, and the exception that it ended with."""

    error: BaseException | None = None


class Windows(Protocol):
    """`next` returns the next texts, one to `window` of them, and none at the end; raises what the source
    raises, after the texts before it. `close` tells the source's reader to stop."""

    async def next(self) -> list[str]: ...

    def close(self) -> None: ...


def check_list(texts: Iterable[str]) -> Iterable[str]:
    """Returns its argument; raises TypeError for a lone str, which would be read letter by letter."""
    if isinstance(texts, str | bytes):
        raise TypeError("classify takes a list of texts; for a single one use classify_one")
    return texts


def open_windows(texts: Texts, window: int, seconds: float) -> Windows:
    """Windows of any source. A list is cut; an iterator is read in a thread of its own, so that neither an
    answer nor the event loop waits for its next text."""
    if isinstance(texts, Sequence):
        return ListWindows(texts, window)
    return ReadWindows(texts, window, seconds)


class ListWindows:
    """Everything is there already."""

    def __init__(self, texts: Sequence[str], window: int) -> None:
        self._texts = texts
        self._window = window
        self._at = 0

    async def next(self) -> list[str]:
        start, self._at = self._at, self._at + self._window
        return list(self._texts[start : self._at])

    def close(self) -> None:
        """Nothing reads."""


class ReadWindows:
    """Reads on demand: never more than `window` texts ahead of what `next` has handed out."""

    def __init__(self, texts: Texts, window: int, seconds: float) -> None:
        self._window = window
        self._seconds = seconds
        self._arrived: asyncio.Queue[str | End] = asyncio.Queue()
        self._asked = 0
        self._end: End | None = None
        put = self._arrived.put_nowait
        self._reader: Reader
        if isinstance(texts, AsyncIterable):
            self._reader = _TaskReader(texts, put)
        else:
            self._reader = _ThreadReader(texts, put)

    async def next(self) -> list[str]:
        texts: list[str] = []
        if self._end is None:
            self._reader.allow(self._window - self._asked)
            self._asked = self._window
            self._take(await self._arrived.get(), texts)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    while self._end is None and len(texts) < self._window:
                        self._take(await self._arrived.get(), texts)
            self._asked -= len(texts)
        if not texts and self._end is not None and self._end.error is not None:
            raise self._end.error
        return texts

    def close(self) -> None:
        self._reader.close()

    def _take(self, item: str | End, texts: list[str]) -> None:
        if isinstance(item, End):
            self._end = item
        else:
            texts.append(item)


class Reader(Protocol):
    """Hands each text to a function of the event loop, as many as it is allowed to, and then the End."""

    def allow(self, count: int) -> None: ...

    def close(self) -> None: ...


class _ThreadReader:
    def __init__(self, texts: Iterable[str], put: Callable[[str | End], None]) -> None:
        self._texts = texts
        self._put = put
        self._loop = asyncio.get_running_loop()
        self._allowed = threading.Semaphore(0)
        self._closed = False
        # A source that blocks for ever must not hold up the end of the program.
        threading.Thread(target=self._read, name="sentiment-source", daemon=True).start()

    def allow(self, count: int) -> None:
        if count:
            self._allowed.release(count)

    def close(self) -> None:
        self._closed = True
        self._allowed.release()

    def _read(self) -> None:
        end = End()
        try:
            texts = iter(self._texts)
            while self._allowed.acquire() and not self._closed:
                self._hand_over(next(texts))
        except StopIteration:
            pass
        except BaseException as error:
            end = End(error)
        self._hand_over(end)

    def _hand_over(self, item: str | End) -> None:
        with suppress(RuntimeError):  # The loop may have ended meanwhile.
            self._loop.call_soon_threadsafe(self._put, item)


class _TaskReader:
    def __init__(self, texts: AsyncIterable[str], put: Callable[[str | End], None]) -> None:
        self._allowed = asyncio.Semaphore(0)
        self._task = asyncio.create_task(self._read(texts, put))

    def allow(self, count: int) -> None:
        for _ in range(count):
            self._allowed.release()

    def close(self) -> None:
        self._task.cancel()

    async def _read(self, texts: AsyncIterable[str], put: Callable[[str | End], None]) -> None:
        try:
            source = aiter(texts)
            while await self._allowed.acquire():
                put(await anext(source))
        except StopAsyncIteration:
            put(End())
        except Exception as error:
            put(End(error))
