"""Which model a request goes on to, and whether that model's queue is full. Without Triton.

An ensemble says which model it has: it asks for `input_ids_for_<model>` instead of `input_ids`. The model
says that its queue is full by a file in shared memory: `serving/onnxruntime_backend/busy_flag.py`.
"""

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Sequence

SIZE, UNTIL, REFUSED, MESSAGE = 256, 0, 8, 16
VARIABLE = "BUSY_FLAGS"
IDS, IDS_FOR = "input_ids", "input_ids_for_"
# Seconds until a flag that is not there is looked for again: its model may be loaded later.
LOOK_AGAIN = 1.0


def ids_output(outputs: Sequence[str]) -> str:
    """The output that gets the ids; a client of the tokenizer itself that names no output asks for all."""
    if IDS in outputs:
        return IDS
    return next((name for name in outputs if name.startswith(IDS_FOR)), IDS)


class BusyFlags:
    """Those of the models that have this number of version."""

    def __init__(self, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._version, self._clock = version, clock
        self._prefix = os.environ.get(VARIABLE, "")
        self._found: dict[str, mmap.mmap] = {}
        self._next_look: dict[str, float] = {}
        self._counting = threading.Lock()

    def refusal(self, output: str) -> str:
        """Why a request for ids by this name is refused now; empty when it is not. Refusals are counted."""
        if not self._prefix or output == IDS:
            return ""
        now = self._clock()
        flag = self._flag(output.removeprefix(IDS_FOR), now)
        if flag is None or struct.unpack_from("<d", flag, UNTIL)[0] <= now:
            return ""
        with self._counting:
            struct.pack_into("<Q", flag, REFUSED, struct.unpack_from("<Q", flag, REFUSED)[0] + 1)
        return flag[MESSAGE:].partition(b"\0")[0].decode(errors="replace")

    def _flag(self, model: str, now: float) -> "mmap.mmap | None":
        if model not in self._found and now >= self._next_look.get(model, now):
            self._next_look[model] = now + LOOK_AGAIN
            if flag := _mapped(f"{self._prefix}{model}_{self._version}"):
                self._found[model] = flag
        return self._found.get(model)


def _mapped(path: str) -> "mmap.mmap | None":
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return mmap.mmap(descriptor, SIZE)
    except (OSError, ValueError):  # its model has not given it its size yet
        return None
    finally:
        os.close(descriptor)
