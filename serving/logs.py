"""tritonserver's log for people: only problems are shown. The last lines are kept to explain a failed start.

For programs each line becomes a JSON object: Triton has no such format.
"""

import json
import re
from collections import deque
from datetime import UTC, datetime

LINE = re.compile(r"^(?P<level>[IWEF])\d{4} \S+ \d+ (?:[\w./]+:\d+\] )?(?P<text>.*)$")
FAILED = "failed to load '"
ALL_MODELS = "failed to load all models"
PYTHON_TRACE = r"\n\nAt:"  # Triton writes line ends inside a message as two characters
# Without a GPU, every start logs these; they mean nothing there.
NO_GPU = re.compile(r"cuda|nvml|dcgm|gpu|pinned (system )?memory", re.IGNORECASE)


LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}
CHILD = re.compile(r"(?P<source>gateway|worker|haproxy): (?P<message>.*)", re.DOTALL)


def as_json(line: str) -> str:
    """One line of any of our processes as an object: time, source, level (where it is known), message.

    A line that a child wrote as an object keeps its fields.
    """
    entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "source": "serving"}
    if child := CHILD.match(line):
        entry["source"] = child["source"]
        entry |= _fields(child["message"])
    elif initial := level(line):
        entry |= {"source": "tritonserver", "level": LEVELS[initial], "message": text(line)}
    else:
        entry["message"] = line
    return json.dumps(entry, ensure_ascii=False)


def _fields(message: str) -> dict[str, str]:
    try:
        fields = json.loads(message)
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {"message": message}


def level(line: str) -> str:
    """`I`, `W`, `E` or `F`; empty for a line without a header, such as one that a Python model printed."""
    match = LINE.match(line)
    return match["level"] if match else ""


def text(line: str) -> str:
    """The message without the header."""
    match = LINE.match(line)
    return match["text"].strip('"') if match else line


class LogFilter:
    """Decides which lines are shown, and keeps the last ones. Hides complaints that there is no GPU."""

    def __init__(self, verbose: bool, gpu: bool, keep: int = 500) -> None:
        self.verbose, self.gpu = verbose, gpu
        self.ignored: tuple[str, ...] = ()  # models that are known to be missing
        self.kept: deque[str] = deque(maxlen=keep)
        self._continued = False

    def shows(self, line: str) -> bool:
        """Warnings and errors, with the lines that continue them."""
        self.kept.append(line)
        if level(line):
            self._continued = self._matters(line, "WEF")
        return self.verbose or self._continued

    def _matters(self, line: str, levels: str) -> bool:
        return level(line) in tuple(levels) and not self._expected(line)

    def _expected(self, line: str) -> bool:
        if self.ignored and any(
            part in line for part in (ALL_MODELS, *(f"'{name}'" for name in self.ignored))
        ):
            return True
        return not self.gpu and NO_GPU.search(line) is not None and FAILED not in line

    def reason(self) -> str:
        """The first line that says why a start failed, empty when there is none."""
        messages = [text(line) for line in list(self.kept) if self._matters(line, "EF")]
        failed = [message for message in messages if FAILED in message]
        first = next(iter(failed or messages), "")
        return first.split(PYTHON_TRACE)[0].replace("Internal: TritonModelException: ", "")
