"""Windows of texts from lists, iterators and asynchronous iterators, against sources that pause."""

import asyncio
import threading
import time

import pytest

from clients.sources import open_windows

LONG = 60.0  # seconds; no test waits for it


def as_iterator(items):
    yield from items


async def as_async_iterator(items):
    for item in items:
        yield item


SOURCES = [list, as_iterator, as_async_iterator]


async def read_all(windows):
    found = []
    while window := await windows.next():
        found.append(window)
    return found


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (5, [5]), (12, [5, 5, 2])])
async def test_quick_source_comes_in_full_windows_and_in_order(source, count, sizes):
    texts = [str(number) for number in range(count)]
    windows = open_windows(source(texts), window=5, seconds=LONG)
    found = await read_all(windows)
    assert [len(window) for window in found] == sizes
    assert [text for window in found for text in window] == texts
    assert await windows.next() == []


class Paused:
    """Gives its texts, then waits until it is released."""

    def __init__(self, texts):
        self.texts = texts
        self.released = threading.Event()

    def __iter__(self):
        yield from self.texts
        self.released.wait(LONG)
        yield "last"

    async def __aiter__(self):
        for text in self.texts:
            yield text
        await asyncio.to_thread(self.released.wait, LONG)
        yield "last"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_texts_before_a_pause_do_not_wait_for_its_end(asynchronous):
    paused = Paused(["a", "b"])
    windows = open_windows(aiter(paused) if asynchronous else iter(paused), window=100, seconds=1.0)
    assert await asyncio.wait_for(windows.next(), LONG / 2) == ["a", "b"]
    paused.released.set()
    assert await windows.next() == ["last"]
    assert await windows.next() == []


@pytest.mark.parametrize("source", SOURCES[1:])
async def test_failure_of_the_source_comes_after_its_texts(source):
    def failing():
        yield "a"
        raise OSError("the disk is gone")

    async def failing_async():
        for text in failing():
            yield text

    windows = open_windows(failing() if source is as_iterator else failing_async(), 10, LONG)
    assert await windows.next() == ["a"]
    with pytest.raises(OSError, match="the disk is gone"):
        await windows.next()


async def test_reader_takes_no_more_than_a_window_ahead():
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield "text"

    windows = open_windows(endless(), window=7, seconds=LONG)
    for windows_read in range(1, 4):
        await windows.next()
        await asyncio.sleep(0.05)
        assert len(taken) == 7 * windows_read
    windows.close()


async def test_closed_windows_end_the_reading_thread():
    before = threading.active_count()
    windows = open_windows(as_iterator(["a"] * 100), window=3, seconds=LONG)
    await windows.next()
    windows.close()
    give_up_at = time.monotonic() + LONG
    while threading.active_count() > before and time.monotonic() < give_up_at:
        await asyncio.sleep(0.01)
    assert threading.active_count() <= before
