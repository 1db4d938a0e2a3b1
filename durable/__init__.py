"""Files and folders that are whole or not there, also after a power cut.

    write_text(path, "all of it")
    with replacing(path) as beside:      # any writer that takes a path
        numpy.savez(beside, **arrays)
    with new_folder(path) as beside:     # a folder of many files
        model.save_pretrained(beside)

Everything is written beside its place, flushed to the disk, renamed, and the rename flushed too: without that
a file system may keep the new name and lose what is behind it.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: Path, content: str) -> Path:
    """Write UTF-8 `content` to `path`. Returns `path`."""
    return write_bytes(path, content.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write `content` to `path`. Returns `path`."""
    with replacing(path) as beside:
        beside.write_bytes(content)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write a file to; on success it takes the place of `path`, on any error it vanishes.

    A file that was at `path` passes its mode on. The suffix is that of `path`, for writers that look at it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        if path.exists():
            beside.chmod(path.stat().st_mode)
        rename(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `path`, on any error it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.mkdir()
    try:
        yield beside
        _swap(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def rename(old: Path, new: Path) -> None:
    """Rename a file or a folder, once all that is in it is on the disk; a file at `new` is replaced."""
    sync(old)
    old.replace(new)
    for folder in {old.parent, new.parent}:
        _flush(folder)


def sync(path: Path) -> None:
    """Flush a file, or a folder and everything in it, to the disk."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            sync(inner)
    if not path.is_symlink():
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(fresh: Path, path: Path) -> None:
    """Put the folder `fresh` at `path`; one that was there is moved aside first, and deleted last."""
    old = _beside(path, "old.")
    if path.exists():
        path.replace(old)
    try:
        rename(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, kind: str = "") -> Path:
    """A hidden neighbour of this thread's own."""
    beside = path.with_name(f".{os.getpid()}-{threading.get_ident()}.{kind}{path.name}")
    if beside.is_dir():
        shutil.rmtree(beside)
    beside.unlink(missing_ok=True)
    return beside
