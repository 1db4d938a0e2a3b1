"""Waits of the main thread that a signal always ends.

Python runs a signal's handler in the main thread. If that thread waits for a lock, the signal wakes it only
where the kernel delivers the signal to it. A thread that is just starting a thread or a process may get the
signal instead (clone(2) looks for signals), and the main thread would sleep on. So these waits wake up often.
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
