"""The HTTP header Retry-After: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

STATUSES = (429, 503)


class ComeBackLater(Exception):
    """A refusal with its status and the seconds that it asks for."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"status {status}, try again in {retry_after:g} s")
        self.status = status
        self.retry_after = retry_after


def refusal(status: int, retry_after: str | None) -> ComeBackLater | None:
    """What an answer with this status and header asks for, if it is a refusal that says when to come back."""
    seconds = read_retry_after(retry_after)
    return ComeBackLater(status, seconds) if status in STATUSES and seconds is not None else None


def read_retry_after(
    value: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Seconds from either form, a number or a date; None where there is no header or no sense in it."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now()).total_seconds())
