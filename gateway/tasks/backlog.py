"""How much work waits, and how long it will take."""

from gateway.problem import Problem
from gateway.settings import Settings
from gateway.tasks.files import read_json, write_json
from gateway.tasks.store import Store

# Until a worker has measured it: texts a second.
FIRST_RATE = 50.0
SMOOTHING = 0.2


def waiting(store: Store) -> tuple[int, int, float]:
    """Unfinished tasks, their texts without an answer, and the seconds that these will take."""
    tasks, texts = _unfinished(store)
    return tasks, texts, texts / rate(store)


def _unfinished(store: Store) -> tuple[int, int]:
    tasks = store.unfinished()
    return len(tasks), sum(task.total - task.progress().done for task in tasks)


def check_backlog(store: Store, settings: Settings, texts: int) -> None:
    """Raises Problem 429 where so many texts more are too many. Certain only under `store.admission`."""
    tasks, left = _unfinished(store)
    over = left + texts - settings.task_backlog_texts
    if tasks < settings.task_backlog_tasks and (over <= 0 or not tasks):
        return
    seconds = max(over, left / max(1, tasks)) / rate(store)
    raise Problem(
        429,
        f"{tasks} tasks with {left:,} texts are waiting, which is as much as this service accepts. "
        "Nothing of this upload was kept; send it again later.",
        kind="busy",
        retry_after=min(max(seconds, 1.0), 3600.0),
    )


def rate(store: Store) -> float:
    """Texts a second that the workers last did."""
    return read_json(store.folder / "rate.json") or FIRST_RATE


def note_rate(store: Store, texts: int, seconds: float) -> None:
    """Takes the time of one chunk into account."""
    measured = texts / max(seconds, 1e-3)
    write_json(store.folder / "rate.json", (1 - SMOOTHING) * rate(store) + SMOOTHING * measured)
