"""One JSON object a request, without its texts."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import to_json

from gateway.errors import GatewayError


class AccessLog:
    """Writes to a file, to standard output ("-"), or nowhere ("off")."""

    def __init__(self, target: str) -> None:
        self._file: BinaryIO | None = None
        if target == "-":
            self._file = sys.stdout.buffer
        elif target != "off":
            self._file = _opened(Path(target))

    def write(self, entry: dict[str, Any]) -> None:
        """Writes one line at once. A log that can't be written (a full disk) fails no request."""
        if self._file is not None:
            with suppress(OSError, ValueError):
                self._file.write(to_json(entry, inf_nan_mode="null") + b"\n")
                self._file.flush()

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        if self._file is not None and self._file is not sys.stdout.buffer:
            self._file.close()
        self._file = None


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise GatewayError(f"ACCESS_LOG={path} can't be written: {error.strerror}") from None
