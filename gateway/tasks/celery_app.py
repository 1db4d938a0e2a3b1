"""Celery, set up so that a message may be lost or come twice without harm.

The store knows which chunks are missing; messages only keep the workers going. So there is no result backend,
and the broker may be anything: files (the default), RabbitMQ, Redis.
"""

import logging
from collections.abc import Iterable
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError

from gateway.settings import Settings
from gateway.tasks import embedded
from gateway.tasks.files import NO_SPACE
from gateway.tasks.task import Task

QUEUE = "texts"
SCORE = "gateway.tasks.score"
# Redis delivers a message that was not acknowledged again after this many seconds.
VISIBILITY_SECONDS = 600
# How long to wait for a broker that is away. The sweeper sends again what could not be sent.
PUBLISH_RETRY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1.0}
log = logging.getLogger("gateway.tasks")


def make_app(settings: Settings) -> Celery:
    """The Celery application for these settings; tasks are registered by the worker."""
    broker = settings.broker_url or f"{embedded.SCHEME}://localhost"
    app = Celery("gateway", broker=broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        broker_transport_options=_transport_options(settings),
        task_publish_retry_policy=PUBLISH_RETRY,
        task_serializer="json",
        accept_content=["json"],
    )
    return app


def publish(app: Celery, task: Task, chunks: Iterable[int], epoch: int) -> bool:
    """Sends one message a chunk. False where the broker can't be reached; the sweeper will send them.

    Raises OSError where the broker is embedded and its disk is full.
    """
    task.touch()
    try:
        for chunk in chunks:
            app.send_task(SCORE, (task.id, chunk, epoch))
        return True
    except (OperationalError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno in NO_SPACE:
            raise cause from None
        log.warning("the broker can't be reached, task %s waits for it: %s", task.id, error)
        return False


def _transport_options(settings: Settings) -> dict[str, Any]:
    if not settings.broker_url:
        return embedded.transport_options(settings.task_folder / "queue")
    if settings.broker_url.startswith(("amqp", "pyamqp")):
        return {"confirm_publish": True}
    if settings.broker_url.startswith("redis"):
        return {"visibility_timeout": VISIBILITY_SECONDS, "socket_timeout": 10, "socket_connect_timeout": 3}
    return {}
