"""What a worker does with a message: `score(task, chunk, epoch)`.

A task has a few lanes. Once chunk n has its answers, the message for chunk n + lanes is sent. So a task of a
million texts has a few messages on their way, never thousands, and tasks take turns.
"""

import logging
import threading
import time
from collections.abc import Callable

from celery import Celery
from celery.exceptions import Reject

from clients import SentimentError
from gateway.problems import from_client
from gateway.settings import Settings
from gateway.tasks.backlog import note_rate
from gateway.tasks.celery_app import SCORE, make_app, publish
from gateway.tasks.files import NO_SPACE
from gateway.tasks.scoring import Interrupted, Scorer
from gateway.tasks.store import Store
from gateway.tasks.task import DONE, FAILED, Task

TOUCH_SECONDS = 2.0
log = logging.getLogger("gateway.tasks")


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """False where a stopping worker gives a chunk back: Celery logs that with a stack trace."""
    return not (record.exc_info and record.exc_info[0] is Reject)


logging.getLogger("celery.app.trace").addFilter(_is_worth_a_line)


class Worker:
    """The state of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.task_folder)
        self.app: Celery = make_app(settings)
        self.stopping = threading.Event()
        self.heard = 0  # messages
        self._scorers: dict[str, Scorer] = {}
        self._lock = threading.Lock()
        self.app.task(name=SCORE)(self.score)

    def score(self, name: str, chunk: int, epoch: int) -> None:
        """Handles one message; void ones are dropped."""
        self.heard += 1
        task = self.store.get(name)
        if task is None or task.end() is not None or epoch != task.epoch():
            return
        task.touch()
        try:
            self._advance(task, chunk, epoch)
        except Interrupted:
            if self.stopping.is_set():
                raise Reject("the worker stops", requeue=True) from None
        except SentimentError as error:
            log.error("task %s failed: %s", task.id, error)
            self._end(task, FAILED, from_client(error, 0.0).detail)
        except FileNotFoundError:
            log.info("task %s was deleted meanwhile", task.id)
        except OSError as error:
            self.fail(task, error)

    def fail(self, task: Task, error: OSError) -> None:
        """Ends a task whose results can't be stored; it can be resumed."""
        log.error("task %s can't store its results: %s", task.id, error.strerror)
        self._end(task, FAILED, storage_failure(error))

    def _advance(self, task: Task, chunk: int, epoch: int) -> None:
        if not task.has_result(chunk):
            task.start()
            began = time.monotonic()
            rows, first = task.texts(chunk), task.starts[chunk]
            answers = self._scorer(task.model).answers(rows, first, self._still_wanted(task, epoch))
            task.write_result(chunk, answers)
            note_rate(self.store, len(rows), time.monotonic() - began)
        if following := self._following(task, chunk):
            publish(self.app, task, [following], epoch)
        elif not task.missing() and task.assemble():
            self._end(task, DONE)

    def _following(self, task: Task, chunk: int) -> int | None:
        for number in range(chunk + task.lanes, task.chunks, task.lanes):
            if not task.has_result(number):
                return number
        return None

    def _still_wanted(self, task: Task, epoch: int) -> Callable[[], None]:
        checked = 0.0

        def go_on() -> None:
            nonlocal checked
            if self.stopping.is_set():
                raise Interrupted
            if time.monotonic() - checked > TOUCH_SECONDS:
                checked = time.monotonic()
                if task.end() is not None or epoch != task.epoch():
                    raise Interrupted
                task.touch()

        return go_on

    def _end(self, task: Task, state: str, detail: str | None = None) -> None:
        task.finish(state, detail)
        self.store.close(task)

    def _scorer(self, model: str) -> Scorer:
        with self._lock:
            if model not in self._scorers:
                self._scorers[model] = Scorer(model, self.settings)
            return self._scorers[model]


def storage_failure(error: OSError) -> str:
    """What a caller is told."""
    if error.errno in NO_SPACE:
        return "The service's disk is full. What was answered is kept; resume the task when there is room."
    return (
        f"The results can't be stored ({error.strerror}). What was answered is kept; the task can be resumed."
    )
