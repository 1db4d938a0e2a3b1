"""One event loop in a thread of its own, shared by every synchronous client of the process."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_running: asyncio.AbstractEventLoop | None = None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the loop and waits for it; an interrupt (Ctrl-C) cancels it."""
    future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    finally:
        future.cancel()


def close_later(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Starts `close()` if the loop runs. Never waits, so it is safe while objects are being finalized."""
    loop = _running
    if loop is not None:
        loop.call_soon_threadsafe(lambda: loop.create_task(close()))


def next_of(generator: AsyncGenerator[T, None]) -> T | None:
    """The next value of an asynchronous generator, None at its end."""

    async def take() -> T | None:
        return await anext(generator, None)

    return run(take())


def close_generator(generator: AsyncGenerator[Any, None]) -> None:
    """Ends an asynchronous generator soon, without waiting for it."""

    async def close() -> None:
        # After Ctrl-C it may still be at work on its own end.
        with suppress(RuntimeError):
            await generator.aclose()

    close_later(close)


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _lock:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="sentiment-client", daemon=True).start()
        return _running


def _forget_the_parents() -> None:
    # A forked child has a copy of the loop but not of its thread, and the lock may be held for ever.
    global _lock, _running
    _lock = threading.Lock()
    _running = None


os.register_at_fork(after_in_child=_forget_the_parents)
