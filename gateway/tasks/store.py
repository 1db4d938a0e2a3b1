"""The tasks on disk. Every state is a file that appears and goes whole, so any process may die at any time.

open/ID               an unfinished task, empty file
owners/OWNER/ID       whose it is
keys/HASH             the task of an Idempotency-Key
tasks/ID/task.json    what was accepted: never changes
tasks/ID/input/N      the texts of chunk N, a JSON value a line; tasks/ID/results/N its answers
tasks/ID/results.jsonl  all answers, once every chunk has its own
tasks/ID/{started,end}.json   tasks/ID/alive: touched by whoever works on it
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

import durable
from gateway.tasks.files import read_json, write_json
from gateway.tasks.task import Task


@dataclass(frozen=True)
class Order:
    """What the caller asks for beside the texts."""

    owner: str
    model: str
    form: str
    column: str | None
    key: str | None


class Store:
    """The tasks of one folder; any number of gateways and workers may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        for name in ("open", "owners", "keys", "tasks", "incoming"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # A lock across processes. The event loop's thread must not wait for it.
        self.admission = FileLock(self.folder / "admission.lock", thread_local=False)

    def new_folder(self) -> Path:
        """A folder for an upload on its way. `accept` turns it into a task, `drop` deletes it."""
        folder = self.folder / "incoming" / f"{time.time_ns() // 1000:x}-{secrets.token_hex(6)}"
        folder.mkdir()
        return folder

    def accept(self, folder: Path, order: Order) -> Task:
        """Turns an upload, whose task.json is written, into a task. Call it under `admission`."""
        name = folder.name
        owned = self._owned(order.owner)
        owned.mkdir(exist_ok=True)
        for marker in (owned / name, self.folder / "open" / name):
            marker.touch()
        if order.key is not None:
            write_json(self._key(order.owner, order.key), name)
        durable.rename(folder, self.folder / "tasks" / name)
        task = self.get(name)
        assert task is not None
        task.touch()
        return task

    def drop(self, folder: Path) -> None:
        """Forgets an upload that did not become a task."""
        shutil.rmtree(folder, ignore_errors=True)

    def get(self, name: str) -> Task | None:
        """The task of this id."""
        folder = self.folder / "tasks" / name
        described = read_json(folder / "task.json") if _is_name(name) else None
        return Task(folder, described) if described else None

    def owned_by(self, owner: str) -> Iterator[Task]:
        """The caller's tasks, the newest first."""
        yield from self._tasks(sorted(_names(self._owned(owner)), reverse=True))

    def unfinished(self) -> list[Task]:
        """Tasks that still have work, the oldest first."""
        found = self._tasks(sorted(_names(self.folder / "open")))
        return [task for task in found if task.end() is None]

    def of_key(self, order: Order) -> Task | None:
        """The task that was accepted with this order's Idempotency-Key."""
        name = read_json(self._key(order.owner, order.key)) if order.key else None
        return self.get(name) if name else None

    def close(self, task: Task) -> None:
        """Removes the mark of an unfinished task. Call it after the end was written."""
        (self.folder / "open" / task.id).unlink(missing_ok=True)

    def reopen(self, task: Task) -> None:
        """Sets that mark again, for a task that is resumed. Call it before its end is removed."""
        (self.folder / "open" / task.id).touch()

    def remove(self, task: Task) -> None:
        """Deletes everything of a task."""
        grave = self.folder / "incoming" / f"removed-{task.id}"
        with suppress(FileNotFoundError):
            task.folder.rename(grave)
        self._owned(task.owner).joinpath(task.id).unlink(missing_ok=True)
        self.close(task)
        if task.key is not None:
            self._key(task.owner, task.key).unlink(missing_ok=True)
        shutil.rmtree(grave, ignore_errors=True)

    def expired(self, now: float) -> Iterator[Task]:
        """Tasks whose results need not be kept any longer."""
        for task in self._tasks(_names(self.folder / "tasks")):
            end = task.end()
            if end is not None and end["expires_at"] < now:
                yield task

    def abandoned(self, older_than: float) -> Iterator[Path]:
        """Folders of uploads and removals whose process ended before they were done."""
        for folder in (self.folder / "incoming").iterdir():
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < older_than:
                    yield folder

    def _tasks(self, names: list[str]) -> Iterator[Task]:
        return (task for name in names if (task := self.get(name)) is not None)

    def _owned(self, owner: str) -> Path:
        return self.folder / "owners" / _digest(owner)

    def _key(self, owner: str, key: str) -> Path:
        return self.folder / "keys" / _digest(f"{owner}\0{key}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _is_name(name: str) -> bool:
    return 0 < len(name) < 64 and all(letter in "0123456789abcdef-" for letter in name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []
