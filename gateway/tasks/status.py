"""Where a task stands, as its owner sees it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from gateway.tasks.backlog import rate
from gateway.tasks.store import Store
from gateway.tasks.task import Task

QUEUED, RUNNING = "queued", "running"


class TaskStatus(BaseModel):
    """A background task."""

    id: str
    state: Annotated[str, Field(description="queued, running, done, failed or cancelled.")]
    model: str
    total: Annotated[int, Field(description="Texts of the upload.")]
    done: Annotated[int, Field(description="Texts with an answer.")]
    errors: Annotated[int, Field(description="Of those, texts that were refused.")]
    place: Annotated[int | None, Field(description="Its place in the backlog while it waits, from 1.")]
    seconds_left: Annotated[float | None, Field(description="Until it is done, as estimated.")]
    detail: Annotated[str | None, Field(description="Why it failed.")]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: Annotated[datetime | None, Field(description="When task and results are deleted.")]
    results: Annotated[str, Field(description="Address of the results, also of what is done so far.")]


class TaskList(BaseModel):
    """The caller's tasks, the newest first."""

    tasks: list[TaskStatus]


def status(store: Store, task: Task) -> TaskStatus:
    """Reads the task's files."""
    end, progress, started = task.end() or {}, task.progress(), task.started_at()
    state = end.get("state") or (RUNNING if started else QUEUED)
    before = [] if end else [each for each in store.unfinished() if each.created_at < task.created_at]
    return TaskStatus(
        id=task.id,
        state=state,
        model=task.model,
        total=task.total,
        done=progress.done,
        errors=progress.errors,
        place=len(before) + 1 if state == QUEUED else None,
        seconds_left=None if end else _estimate(store, [*before, task]),
        detail=end.get("detail"),
        created_at=_moment(task.created_at),
        started_at=_moment(started),
        finished_at=_moment(end.get("finished_at")),
        expires_at=_moment(end.get("expires_at")),
        results=f"/v1/tasks/{task.id}/results",
    )


def _estimate(store: Store, tasks: list[Task]) -> float:
    left = sum(task.total - task.progress().done for task in tasks)
    return round(left / rate(store), 1)


def _moment(seconds: Any) -> Any:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
