"""What is sent as a background task: a file as it is, or texts as JSON lines."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

Texts = str | PathLike[str] | Iterable[str]
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
}
PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class Upload:
    """open: a new stream of the body, for each attempt. repeatable: whether there can be a second one."""

    media_type: str
    open: Callable[[], AsyncIterator[bytes]]
    repeatable: bool


def open_upload(texts_or_file: Texts) -> Upload:
    """The upload of a path or of texts. Raises ValueError for a kind of file that is not known, OSError for
    a file that can't be read, TypeError for bytes."""
    if isinstance(texts_or_file, bytes):
        raise TypeError("submit takes a path or texts, not bytes")
    if isinstance(texts_or_file, str | PathLike):
        return _of_file(Path(texts_or_file))
    texts = texts_or_file
    return Upload("application/jsonl", lambda: _lines(texts), repeatable=iter(texts) is not texts)


def _of_file(path: Path) -> Upload:
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        known = ", ".join(MEDIA_TYPES)
        raise ValueError(f"{path}: this kind of file is not read; name it with one of {known}")
    path.open("rb").close()
    return Upload(media_type, lambda: _pieces(path), repeatable=True)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def _lines(texts: Iterable[str]) -> AsyncIterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is {type(text).__name__}, not str")
        lines.append(json.dumps(text).encode() + b"\n")
        size += len(lines[-1])
        if size > PIECE_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    yield b"".join(lines)
