"""What the addresses of background tasks share: the store, and the way to the workers."""

import logging

from celery import Celery

from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.tasks.celery_app import make_app, publish
from gateway.tasks.store import Store
from gateway.tasks.task import Task

log = logging.getLogger("gateway.tasks")


class TaskService:
    """closing: the gateway ends, so nothing may wait for a task any longer."""

    def __init__(self, settings: Settings) -> None:
        try:
            self.store = Store(settings.task_folder)
        except OSError as error:
            raise GatewayError(f"GATEWAY_DATA={settings.data_folder}: {error.strerror}") from None
        self.closing = False
        self._app: Celery = make_app(settings)

    def publish(self, task: Task) -> None:
        """Sends the first message of every lane. What can't be sent, a worker's sweeper sends later."""
        try:
            publish(self._app, task, task.first_of_lanes(), task.epoch())
        except OSError as error:
            log.warning("task %s waits until it can be sent: %s", task.id, error.strerror)

    def end(self, task: Task, state: str) -> None:
        """Ends a task; workers stop working on it within seconds."""
        task.finish(state)
        self.store.close(task)

    def resume(self, task: Task) -> None:
        """Goes on with what is missing."""
        self.store.reopen(task)
        task.resume()
        self.publish(task)

    def close(self) -> None:
        """Ends what waits, and the connections to the broker."""
        self.closing = True
        self._app.close()
