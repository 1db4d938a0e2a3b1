"""One event loop in a thread of its own, shared by every synchronous client of the process.

A single one, because gRPC's asyncio support has one completion queue for the whole process: loops in several
threads wake each other up for nothing and log a BlockingIOError each time (grpc issue 25364). An event loop
that the application itself runs gRPC in is a second one, which is why that error is silenced here.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
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


def _loop() -> asyncio.AbstractEventLoop:
    # By process id: a forked child has no copy of the thread and needs its own.
    with _lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(_ignore_spurious_wakeups)
            threading.Thread(target=loop.run_forever, name="sentiment-client", daemon=True).start()
            _loops[os.getpid()] = loop
        return _loops[os.getpid()]


def _ignore_spurious_wakeups(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)
