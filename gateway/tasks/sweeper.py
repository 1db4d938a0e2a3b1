"""Sends tasks again that stand still, and deletes those that have expired.

A message can be lost: with a worker that was killed (embedded broker), or with the broker itself. Whoever
works on a task touches it. A task that nobody touched for a while gets new messages for its missing chunks.
They have a new epoch: an older message that comes after all is dropped.
"""

import logging
import threading
import time
from collections.abc import Callable

from filelock import FileLock, Timeout

from gateway.tasks.celery_app import publish
from gateway.tasks.store import Store
from gateway.tasks.task import Task
from gateway.tasks.worker import Worker

PERIOD_SECONDS = 2.0
LONGEST_DOUBLING = 6
UPLOAD_SECONDS = 6 * 3600.0
log = logging.getLogger("gateway.tasks")


class Sweeper:
    """A thread of a worker. Of several workers, one sweeps at a time.

    start_anew: called where messages were sent and none arrived. After Redis was killed, Celery's consumer
    may get no more messages: a thread that acknowledges gets the connection's error, the event loop does not.
    """

    def __init__(self, worker: Worker, start_anew: Callable[[], None]) -> None:
        self._worker, self._start_anew = worker, start_anew
        self._heard_at_revival: dict[str, int] = {}
        self._lock = FileLock(worker.store.folder / "sweep.lock", timeout=0, thread_local=False)
        self._thread = threading.Thread(target=self._run, name="task-sweeper", daemon=True)

    def start(self) -> None:
        """Begins to sweep."""
        self._thread.start()

    def _run(self) -> None:
        health = self._worker.settings.worker_health_file
        while not self._worker.stopping.wait(PERIOD_SECONDS):
            try:
                if health:
                    health.touch()
                with self._lock:
                    self.sweep(time.time())
            except Timeout:
                continue
            except Exception:
                log.exception("a sweep over the tasks failed")

    def sweep(self, now: float) -> None:
        """Looks at every task once."""
        stall = self._worker.settings.task_stall
        for task in self._worker.store.unfinished():
            # Tasks in a long queue are not touched for a long time. The doubling keeps their messages few.
            if task.idle_seconds(now) > stall * 2.0 ** min(task.epoch(), LONGEST_DOUBLING):
                log.warning("task %s stood still; it goes on", task.id)
                if self._heard_at_revival.get(task.id) == self._worker.heard:
                    log.warning("this worker hears nothing from its broker; it starts anew")
                    self._start_anew()
                self._heard_at_revival[task.id] = self._worker.heard
                self.revive_one(task)
        clean(self._worker.store, now)

    def revive(self) -> None:
        """Sets all unfinished tasks going, after a start with the embedded broker."""
        for task in self._worker.store.unfinished():
            self.revive_one(task)

    def revive_one(self, task: Task) -> None:
        """Sends new messages for what is missing. Where the disk is too full for that, the task fails."""
        try:
            publish(self._worker.app, task, task.first_of_lanes(), task.next_epoch())
        except OSError as error:
            self._worker.fail(task, error)


def clean(store: Store, now: float) -> None:
    """Deletes expired tasks and uploads that never became one."""
    for task in store.expired(now):
        store.remove(task)
    for folder in store.abandoned(now - UPLOAD_SECONDS):
        store.drop(folder)
