"""Files that are there whole or not at all, also after the power fails."""

import errno
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import durable

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name when the block ends well; otherwise nothing is left."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
        durable.rename(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON value."""
    with written(path) as file:
        file.write(json.dumps(value).encode())


def read_json(path: Path) -> Any:
    """The value of a file, None where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
