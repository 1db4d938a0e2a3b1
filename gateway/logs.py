"""The processes' own warnings and errors; requests are in the access log."""

import logging
import traceback
from datetime import UTC, datetime

from pydantic_core import to_json

from gateway.settings import Settings
from gateway.tracing import trace_id


def configure(settings: Settings) -> None:
    """Warnings and errors to stderr, for people or as one JSON object a line."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else plain)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class JsonLines(logging.Formatter):
    """An exception is logged by type and place, without its message: that may hold what a user sent."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None),
            "trace_id": trace_id(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            entry["exception"] = record.exc_info[0].__name__
            entry["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return to_json(entry).decode()
