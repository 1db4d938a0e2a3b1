"""One event loop in a thread of its own, shared by every synchronous client of the process."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Starts a coroutine on the loop; may be called from any thread. Cancelling the future cancels it."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the loop and waits for it; an interrupt (Ctrl-C) cancels it."""
    future = submit(coroutine)
    try:
        return future.result()
    finally:
        future.cancel()


def close_later(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Starts `close()` if the loop runs. Never waits, so it is safe while objects are being finalized."""
    loop = _loops.get(os.getpid())
    if loop is not None:
        loop.call_soon_threadsafe(lambda: loop.create_task(close()))


def _loop() -> asyncio.AbstractEventLoop:
    # By process id: a forked child has no copy of the thread and needs its own.
    with _lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="sentiment-client", daemon=True).start()
            _loops[os.getpid()] = loop
        return _loops[os.getpid()]
