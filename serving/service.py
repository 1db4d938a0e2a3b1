"""Several supervised children that make up one service: started in order, stopped in the reverse order."""

import threading
from collections.abc import Sequence

from serving.pump import Sink
from serving.signals import wait_for
from serving.supervision import Child, RestartPolicy, Supervisor


class Service:
    """It runs until one of its children is given up, or until it is stopped.

    with Service([triton, CommandChild("gateway", command, is_ready)], log=print) as service:
        print(service.wait())  # why it ended
    """

    def __init__(self, children: Sequence[Child], log: Sink, policy: RestartPolicy | None = None) -> None:
        self._ended = threading.Event()
        self.supervisors = [Supervisor(child, log, policy, self._ended) for child in children]

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start each child when the one before it is ready. Where it raises ServingError, no child runs."""
        try:
            for supervisor in self.supervisors:
                supervisor.start()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> str:
        """Block until a child is given up; returns why."""
        wait_for(self._ended)
        return "; ".join(filter(None, (each.failure for each in self.supervisors)))

    def stop(self) -> None:
        """Drain and end the children, the last one first."""
        for supervisor in reversed(self.supervisors):
            supervisor.stop()
