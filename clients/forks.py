"""A fork waits for the gRPC calls of other threads.

gRPC's core readies itself for a fork, and is whole in the child, only while no thread is inside it
(https://github.com/grpc/grpc/blob/master/doc/fork_support.md). A child forked in the middle of a call hangs
or aborts at its own first call.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# As long as gRPC's own Python layer waits for its threads. A call that takes longer is forked through.
PATIENCE = 5.0


class Calls:
    """Counts calls in flight. While a fork waits for them, calls that would begin wait for the fork."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._ended = threading.Condition()
        self._in_flight = 0

    def begin(self) -> None:
        """A call is about to be made."""
        with self._gate, self._ended:
            self._in_flight += 1

    def end(self) -> None:
        """The call has an answer or an error; any thread may say so."""
        with self._ended:
            self._in_flight -= 1
            self._ended.notify_all()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A call that this thread waits for."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def hold(self) -> None:
        """Lets no call begin, and waits until those in flight have ended, PATIENCE at most."""
        self._gate.acquire()
        with self._ended:
            self._ended.wait_for(lambda: not self._in_flight, PATIENCE)

    def go_on(self) -> None:
        """Ends `hold`."""
        self._gate.release()

    def forget(self) -> None:
        """In the child: the calls in flight are the parent's, and its threads may have held the locks."""
        self.__init__()  # type: ignore[misc]


calls = Calls()
os.register_at_fork(before=calls.hold, after_in_parent=calls.go_on, after_in_child=calls.forget)
