"""One task: its chunks, its results, where it stands."""

import bisect
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gateway.tasks.files import read_json, write_json, written

DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
COPY_BYTES = 1 << 20
# Kept in a file, which is deleted at the end: so there is room for end.json on a full disk.
RESERVE_BYTES = 1 << 14


@dataclass(frozen=True)
class Progress:
    """How far a task is: texts with an answer, and how many of them were refused."""

    done: int
    errors: int


class Task:
    """Reads and writes the files of one task; `described` is its task.json."""

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        self.folder = folder
        self.id = folder.name
        self.owner: str = described["owner"]
        self.key: str | None = described["key"]
        self.fingerprint: str = described["fingerprint"]
        self.model: str = described["model"]
        self.created_at: float = described["created_at"]
        self.keep: float = described["keep"]
        self.lanes: int = described["lanes"]
        # starts[n] is the index of the first text of chunk n; the last one is the number of texts.
        self.starts: list[int] = described["starts"]

    @property
    def total(self) -> int:
        """Number of texts."""
        return self.starts[-1]

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self.starts) - 1

    # Work

    def texts(self, chunk: int) -> list[Any]:
        """The rows of a chunk: a str, or {"error": reason} for a row that holds none."""
        with (self.folder / "input" / _name(chunk)).open("rb") as lines:
            return [json.loads(line) for line in lines]

    def has_result(self, chunk: int) -> bool:
        """Whether the chunk's answers are written."""
        return (self.folder / "results" / _name(chunk)).exists() or self.assembled.exists()

    def write_result(self, chunk: int, answers: Sequence[dict[str, Any]]) -> None:
        """Writes the answers of a chunk. Writing them again does no harm. Raises OSError."""
        refused = sum("error" in answer for answer in answers)
        if refused:
            write_json(self.folder / "errors" / _name(chunk), refused)
        with written(self.folder / "results" / _name(chunk)) as file:
            file.writelines(json.dumps(answer, ensure_ascii=False).encode() + b"\n" for answer in answers)

    def missing(self) -> list[int]:
        """Chunks without answers."""
        if self.assembled.exists():
            return []
        found = set(os.listdir(self.folder / "results"))  # noqa: PTH208
        return [chunk for chunk in range(self.chunks) if _name(chunk) not in found]

    def first_of_lanes(self) -> list[int]:
        """The chunks that work goes on with: the first missing one of each lane, else the last."""
        firsts: dict[int, int] = {}
        for chunk in self.missing():
            firsts.setdefault(chunk % self.lanes, chunk)
        return list(firsts.values()) or [self.chunks - 1]

    def assemble(self) -> bool:
        """Puts the answers of all chunks together. False while another process does so."""
        try:
            with FileLock(self.folder / "assembly.lock", timeout=0):
                if not self.assembled.exists():
                    self._join()
        except Timeout:
            return False
        for chunk in (self.folder / "results").iterdir():
            chunk.unlink(missing_ok=True)
        return True

    def _join(self) -> None:
        offsets = [0]
        with written(self.assembled) as whole:
            for chunk in range(self.chunks):
                lines = (self.folder / "results" / _name(chunk)).read_bytes()
                expected = self.starts[chunk + 1] - self.starts[chunk]
                if (found := lines.count(b"\n")) != expected:
                    raise ValueError(f"chunk {chunk} has {found} answers to {expected} texts")
                whole.write(lines)
                offsets.append(offsets[-1] + len(lines))
            write_json(self.folder / "offsets.json", offsets)

    # State

    @property
    def assembled(self) -> Path:
        """The file of all answers."""
        return self.folder / "results.jsonl"

    def start(self) -> None:
        """Notes when work began."""
        if not (self.folder / "started.json").exists():
            write_json(self.folder / "started.json", time.time())

    def started_at(self) -> float | None:
        """When work began."""
        return read_json(self.folder / "started.json")

    def touch(self) -> None:
        """Says that somebody works on it, or that a message is on its way."""
        (self.folder / "alive").touch()

    def idle_seconds(self, now: float) -> float:
        """Since the last touch."""
        return now - (self.folder / "alive").stat().st_mtime

    def epoch(self) -> int:
        """The epoch now. Messages of an earlier one are dropped."""
        return read_json(self.folder / "epoch.json") or 0

    def next_epoch(self) -> int:
        """Begins a new epoch: messages that are on their way will be dropped."""
        epoch = self.epoch() + 1
        write_json(self.folder / "epoch.json", epoch)
        return epoch

    def finish(self, state: str, detail: str | None = None) -> None:
        """Ends the task; the first end stays."""
        (self.folder / "reserve").unlink(missing_ok=True)
        if self.end() is None:
            now = time.time()
            end = {"state": state, "detail": detail, "finished_at": now, "expires_at": now + self.keep}
            write_json(self.folder / "end.json", end)

    def resume(self) -> None:
        """Removes the end of a task that failed or was cancelled."""
        (self.folder / "reserve").write_bytes(bytes(RESERVE_BYTES))
        self.next_epoch()
        (self.folder / "end.json").unlink(missing_ok=True)
        self.touch()

    def end(self) -> dict[str, Any] | None:
        """state, detail, finished_at and expires_at of a task that ended."""
        return read_json(self.folder / "end.json")

    def progress(self) -> Progress:
        """Texts with an answer so far, in any chunk."""
        if self.assembled.exists():
            done = self.total
        else:
            chunks = [int(name) for name in _listed(self.folder / "results")]
            done = sum(self.starts[chunk + 1] - self.starts[chunk] for chunk in chunks)
        errors = sum(
            read_json(self.folder / "errors" / name) or 0 for name in _listed(self.folder / "errors")
        )
        return Progress(done, errors)

    # Results

    def ready_chunks(self) -> int:
        """How many chunks from the first one on have answers."""
        if self.assembled.exists():
            return self.chunks
        missing = self.missing()
        return missing[0] if missing else self.chunks

    def result_lines(self, first: int = 0, texts: bool = False, chunks: int | None = None) -> Iterator[bytes]:
        """The answers from text `first` on, in order, as far as they are ready: JSON lines.

        texts: with the text (null where there was none) in each. chunks: of the first so many only.
        """
        chunks = self.ready_chunks() if chunks is None else chunks
        chunk = bisect.bisect_right(self.starts, first) - 1
        skip = first - self.starts[chunk]
        for number in range(chunk, chunks):
            lines = self.result_bytes(number).splitlines(keepends=True)
            if texts:
                rows = (self.folder / "input" / _name(number)).read_bytes().splitlines()
                lines = [_with_text(line, row) for line, row in zip(lines, rows, strict=True)]
            yield from lines[skip:]
            skip = 0

    def result_bytes(self, chunk: int) -> bytes:
        """The answers of a chunk; they move into one file when the task is done."""
        try:
            return (self.folder / "results" / _name(chunk)).read_bytes()
        except FileNotFoundError:
            offsets = read_json(self.folder / "offsets.json")
            with self.assembled.open("rb") as whole:
                whole.seek(offsets[chunk])
                return whole.read(offsets[chunk + 1] - offsets[chunk])

    def result_sizes(self) -> list[int]:
        """Bytes of the answers of each chunk that is ready, from the first one on."""
        if offsets := read_json(self.folder / "offsets.json"):
            return [end - start for start, end in itertools.pairwise(offsets)]
        return [(self.folder / "results" / _name(n)).stat().st_size for n in range(self.ready_chunks())]


def _with_text(line: bytes, row: bytes) -> bytes:
    return line[:-2] + b', "text": ' + (row if row.startswith(b'"') else b"null") + b"}\n"


def _name(chunk: int) -> str:
    return f"{chunk:07d}"


def _listed(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208
