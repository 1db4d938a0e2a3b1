"""From a request's body to a task on disk, never holding more than a chunk of it in memory."""

import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_core import to_json

import durable
from gateway.problem import Problem
from gateway.settings import Settings
from gateway.tasks.backlog import check_backlog
from gateway.tasks.files import NO_SPACE, write_json
from gateway.tasks.readers import Row, rows
from gateway.tasks.store import Order, Store
from gateway.tasks.task import RESERVE_BYTES, Task

CHUNK_BYTES = 4 << 20
NO_ROOM = "The service's disk is full, so nothing was kept. Try again later, or send less."
RETRY_FULL_DISK = 60.0


class Upload:
    """One upload on its way to disk. At the end of its `with`, what did not become a task is deleted."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._hash = hashlib.sha256()

    def __enter__(self) -> "Upload":
        with disk_full_is_a_problem():
            self._folder = self._store.new_folder()
        return self

    def __exit__(self, *failure: object) -> None:
        self._store.drop(self._folder)

    async def receive(self, stream: AsyncIterator[bytes]) -> None:
        """Writes the body to a file as it comes. Raises Problem 507 where it has no room."""
        with disk_full_is_a_problem(), (self._folder / "upload").open("wb") as file:
            async for piece in stream:
                self._hash.update(piece)
                file.write(piece)

    def fingerprint(self, order: Order) -> str:
        """A hash of the body and the order. Two requests with one Idempotency-Key must have the same."""
        asked = f"{order.model}\0{order.form}\0{order.column}"
        return hashlib.sha256(self._hash.digest() + asked.encode()).hexdigest()

    def accept(self, order: Order) -> Task:
        """Cuts the file into chunks and makes it a task. Blocks. Raises Problem."""
        with disk_full_is_a_problem():
            starts = self._cut(order)
            (self._folder / "upload").unlink()
            write_json(self._folder / "task.json", self._described(order, starts))
            (self._folder / "reserve").write_bytes(bytes(RESERVE_BYTES))
            with self._store.admission:
                if before := self._store.of_key(order):
                    return before
                check_backlog(self._store, self._settings, starts[-1])
                return self._store.accept(self._folder, order)

    def _cut(self, order: Order) -> list[int]:
        for name in ("input", "results", "errors"):
            (self._folder / name).mkdir()
        starts = [0]
        for lines in _chunks(rows(self._folder / "upload", order.form, order.column), self._settings):
            with (self._folder / "input" / f"{len(starts) - 1:07d}").open("xb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            starts.append(starts[-1] + len(lines))
        if starts[-1] == 0:
            raise Problem(422, "There is no text in the upload.", kind="invalid")
        durable.sync(self._folder / "input")
        return starts

    def _described(self, order: Order, starts: list[int]) -> dict[str, Any]:
        return {
            "owner": order.owner,
            "key": order.key,
            "fingerprint": self.fingerprint(order),
            "model": order.model,
            "created_at": time.time(),
            "keep": self._settings.task_keep,
            "lanes": self._settings.task_lanes,
            "starts": starts,
        }


def check_room(settings: Settings, length: int) -> None:
    """Raises Problem 507 when an upload of this size and its chunks can't fit on the disk."""
    if shutil.disk_usage(settings.data_folder).free < 2 * length:
        raise Problem(507, NO_ROOM, kind="disk-full", retry_after=RETRY_FULL_DISK)


class disk_full_is_a_problem:
    """Turns the OSError of a full disk into Problem 507."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise Problem(507, NO_ROOM, kind="disk-full", retry_after=RETRY_FULL_DISK) from error


def _chunks(texts: Iterator[Row], settings: Settings) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for total, text in enumerate(texts, start=1):
        if total > settings.task_max_texts:
            raise Problem(413, f"A task holds {settings.task_max_texts:,} texts at most; send several tasks.")
        line = _line(text)
        if lines and (len(lines) == settings.task_chunk or size + len(line) > CHUNK_BYTES):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield lines


def _line(text: Row) -> bytes:
    try:
        return to_json(text) + b"\n"
    except ValueError:  # a lone surrogate: JSON can escape it, UTF-8 can't encode it
        return to_json({"error": "The text is not valid Unicode."}) + b"\n"
