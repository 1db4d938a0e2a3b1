"""Tells the tokenizer of the same server that this model's queue is full, so that it refuses at once.

A refusal by the model comes late: the text has been tokenized, and Triton has taken its second step. Under
overload that costs the cores more than the refusal itself. The model still decides: it raises its flag when
it refuses, and only for a moment, so the flag of a process that died is soon down.

The flag is a file in shared memory:

| bytes | what | who writes |
|---|---|---|
| 0 to 8 | until when it is up: float64, seconds of CLOCK_MONOTONIC | the model |
| 8 to 16 | requests that the tokenizer has refused since the file was made: uint64 | the tokenizer |
| 16 to 256 | the refusal, UTF-8, ended by NUL | the model |

The tokenizer's code may not import this, so `model_repository/mobilebert_tokenizer/busy_flags.py` names the
same places; `tests/model_repository/test_busy_flags.py` holds the two together.
"""

import mmap
import os
import struct
from pathlib import Path

SIZE, UNTIL, REFUSED, MESSAGE = 256, 0, 8, 16
# Set by the launcher: how the paths of all flags of a server begin.
VARIABLE = "BUSY_FLAGS"


class BusyFlag:
    """Of one version of a model. Raises OSError when the file cannot be made."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # ftruncate promises no memory: where none is left, a write would end the process.
            os.posix_fallocate(descriptor, 0, SIZE)
            self._memory = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
        self._before = self._count()  # a model that is loaded again finds its file

    def show(self, until: float, message: str) -> None:
        """Until `until` (seconds of time.monotonic) the tokenizer refuses with this message (ASCII)."""
        text = message.encode()[: SIZE - MESSAGE - 1] + b"\0"
        self._memory[MESSAGE : MESSAGE + len(text)] = text
        struct.pack_into("<d", self._memory, UNTIL, until)

    @property
    def refused(self) -> int:
        """How many requests the tokenizer has refused for this process."""
        return self._count() - self._before

    def _count(self) -> int:
        count: int = struct.unpack_from("<Q", self._memory, REFUSED)[0]
        return count


def busy_flag(model: str, version: str) -> BusyFlag | None:
    """The flag of a model; None where the launcher asked for none, or the file cannot be made."""
    prefix = os.environ.get(VARIABLE)
    if not prefix:
        return None
    try:
        return BusyFlag(Path(f"{prefix}{model}_{version}"))
    except OSError:
        return None
