"""tritonserver's log, thinned out for a person: problems pass, the rest is kept for when the start fails."""

import re
from collections import deque

LINE = re.compile(r"^(?P<level>[IWEF])\d{4} \S+ \d+ (?:[\w./]+:\d+\] )?(?P<text>.*)$")
# A machine without a GPU draws these at every start; they mean nothing there.
NO_GPU = re.compile(r"cuda|nvml|dcgm|gpu|pinned memory", re.IGNORECASE)


def level(line: str) -> str:
    """`I`, `W`, `E` or `F`; empty for a line without a header, such as one that a Python model printed."""
    match = LINE.match(line)
    return match["level"] if match else ""


def text(line: str) -> str:
    """The message without the header."""
    match = LINE.match(line)
    return match["text"].strip('"') if match else line


class LogFilter:
    """Decides which lines are shown, and remembers the last ones."""

    def __init__(self, verbose: bool, keep: int = 500) -> None:
        self.verbose = verbose
        self.kept: deque[str] = deque(maxlen=keep)
        self._continued = False

    def shows(self, line: str) -> bool:
        """Warnings and errors that do not complain of a missing GPU, with the lines that continue them."""
        self.kept.append(line)
        severity = level(line)
        if severity:
            self._continued = severity in "WEF" and not NO_GPU.search(line)
        return self.verbose or self._continued

    def reason(self) -> str:
        """The first line that says why a start failed, empty when there is none."""
        messages = [text(line) for line in self.kept if level(line) in "EF" and not NO_GPU.search(line)]
        failed = [message for message in messages if "failed to load" in message]
        return next(iter(failed or messages), "")
