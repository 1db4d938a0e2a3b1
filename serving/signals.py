"""Waits of the main thread that a signal always ends.

Python runs a signal's handler in the main thread, and the signal itself ends a wait for a lock only where the
kernel hands it to that thread. It hands it to another one that is starting a thread or a process at that
moment (clone(2) looks for signals), and the main thread would wait for ever. So these waits wake up.
"""

import threading

WAKE_SECONDS = 0.5


def wait_for(event: threading.Event) -> None:
    """Block until the event is set. What a handler raises, such as KeyboardInterrupt, comes through."""
    while not event.wait(WAKE_SECONDS):
        pass


def join(thread: threading.Thread) -> None:
    """Block until the thread has ended. What a handler raises comes through."""
    while thread.is_alive():
        thread.join(WAKE_SECONDS)
