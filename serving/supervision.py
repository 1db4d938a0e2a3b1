"""Keeps one child running: starts it, watches it, restarts it with exponential back-off, up to a limit.

    supervisor = Supervisor(CommandChild("gateway", [python, "-m", "gateway"], is_ready), log=print)
    supervisor.start()  # returns when it is ready, or raises
    supervisor.wait()   # returns when it is given up: `supervisor.failure` says why
    supervisor.stop()   # drains it

One thread owns the child from its start to its end. So no two methods of the child run at once, except
`kill`. The kernel ends a child with the thread that started it, so that thread lives as long as the child.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from serving.errors import ServingError
from serving.pump import Sink, show
from serving.signals import join, wait_for

LOOK_SECONDS = 0.1


class Child(Protocol):
    """What can be supervised."""

    name: str

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start, and return when it is ready. Raises ServingError, also soon after it is cancelled."""

    def ailment(self) -> str:
        """Why it has to be restarted, such as "was killed by SIGKILL"; empty while it is well."""

    def rest(self, seconds: float) -> None:
        """Wait so many seconds, or until one of its processes ends."""

    def stop(self) -> None:
        """Drain and end it, with all its processes. Nothing happens when it does not run."""

    def kill(self) -> None:
        """End it at once, with all its processes. Another thread may call this while `stop` waits."""


@dataclass(frozen=True)
class RestartPolicy:
    """At most `limit` restarts in `window` seconds.

    The first comes after `first_delay` seconds, and each further one of the same window after twice as long
    as the one before, at most `last_delay`.
    """

    limit: int = 5
    window: float = 60.0
    first_delay: float = 0.1
    last_delay: float = 5.0


class Restarts:
    """The restarts of one child."""

    def __init__(self, policy: RestartPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy, self._clock = policy, clock
        self._times: deque[float] = deque()
        self.count = 0

    def next_delay(self) -> float | None:
        """Count a restart, and return the seconds to wait before it; None when there were too many."""
        now = self._clock()
        while self._times and self._times[0] <= now - self.policy.window:
            self._times.popleft()
        if len(self._times) >= self.policy.limit:
            return None
        delay = min(self.policy.last_delay, self.policy.first_delay * 2.0 ** len(self._times))
        self._times.append(now)
        self.count += 1
        return delay

    @property
    def recent(self) -> int:
        """Restarts in the current window."""
        return len(self._times)


class Supervisor:
    """Runs a child until it is stopped, or until it fails more often than the policy allows."""

    def __init__(
        self,
        child: Child,
        log: Sink,
        policy: RestartPolicy | None = None,
        ended: threading.Event | None = None,  # set at its end; several may share one
    ) -> None:
        self.child = child
        self.restarts = Restarts(policy or RestartPolicy())
        self.failure = ""
        self._log = log
        self._stopping, self._started, self._ended = (
            threading.Event(),
            threading.Event(),
            ended or threading.Event(),
        )
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when the child is ready. Raises when its first start fails, which is not repeated."""
        self._thread = threading.Thread(target=self._run, name=f"supervise {self.child.name}", daemon=True)
        self._thread.start()
        wait_for(self._started)
        if self._error is not None:
            join(self._thread)
            raise self._error

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the child is stopped or given up, or until the time is over; whether it has ended."""
        return self._ended.wait(timeout)

    def stop(self) -> None:
        """Drain the child. A KeyboardInterrupt during this kills it: the person asked twice."""
        self._stopping.set()
        if self._thread is None:
            return
        try:
            join(self._thread)
        except KeyboardInterrupt:
            self.child.kill()
            join(self._thread)

    def _run(self) -> None:
        try:
            self._start_child()
            if self._error is None:
                self._keep_alive()
        except Exception as error:
            self.failure = f"{self.child.name} is given up: {error}"
        finally:
            self.child.stop()
            self._ended.set()

    def _start_child(self) -> None:
        try:
            self.child.start(self._stopping.is_set)
        except BaseException as error:  # the caller of start() gets it
            self._error = error
        finally:
            self._started.set()

    def _keep_alive(self) -> None:
        while reason := self._next_ailment():
            while reason:
                self.child.kill()
                if not self._may_restart(reason):
                    return
                reason = self._restart()

    def _next_ailment(self) -> str:
        """Wait for the next ailment; empty when the child is to be stopped."""
        while not self._stopping.is_set():
            if reason := self.child.ailment():
                return reason
            self.child.rest(LOOK_SECONDS)
        return ""

    def _may_restart(self, reason: str) -> bool:
        """Wait until the next restart may begin; False when there is none, or the child is to be stopped."""
        name, policy, delay = self.child.name, self.restarts.policy, self.restarts.next_delay()
        if delay is None:
            self.failure = (
                f"{name} {reason}; it was restarted {policy.limit} times within {policy.window:g} s "
                "and is given up: its log above says more"
            )
            return False
        self._say(f"{name} {reason}; restart {self.restarts.recent} of {policy.limit}, in {delay:.1f} s")
        return not self._stopping.wait(delay)

    def _restart(self) -> str:
        """Restart the child. Returns why that failed, empty when it is ready or to be stopped."""
        began = time.monotonic()
        try:
            self.child.start(self._stopping.is_set)
        except ServingError as error:
            return "" if self._stopping.is_set() else f"did not come back ({error})"
        self._say(f"{self.child.name} is ready again after {time.monotonic() - began:.1f} s")
        return ""

    def _say(self, line: str) -> None:
        show(line, self._log)
