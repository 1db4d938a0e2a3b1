"""Files and folders that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, content: str) -> Path:
    """Write UTF-8 `content` to `path` through a file beside it. Returns `path`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `path`, on any error it vanishes.

    with new_folder(Path("checkpoints/mine")) as folder:
        model.save_pretrained(folder)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for file in beside.iterdir():
            file.chmod(0o644)
        _swap(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` at `path`; a folder that was there is moved aside first, and deleted last."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old, ignore_errors=True)
