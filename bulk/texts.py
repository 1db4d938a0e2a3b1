"""Which cells of a table are texts."""

from collections.abc import Sequence
from dataclasses import dataclass

NOT_UNICODE = "the text is not valid Unicode: it can't be written as UTF-8"


@dataclass(frozen=True)
class BadText:
    """Stands in a text's place and says why there is none."""

    reason: str


def as_text(value: object) -> str | BadText:
    """The text of a cell: a str, or bytes of UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            return BadText(f"the text is not valid UTF-8 at byte {error.start}")
    if isinstance(value, str):
        return value if _is_unicode(value) else BadText(NOT_UNICODE)
    if isinstance(value, BadText):
        return value
    if value is None:
        return BadText("the text is null")
    return BadText(f"the text is not a string but {_kind(value)}")


def longer_than(text: str, most: int) -> int | None:
    """The text's size in bytes where that is more than `most`."""
    if len(text) * 4 <= most:
        return None
    size = len(text.encode())
    return size if size > most else None


def size_of(value: object) -> int:
    """About the bytes of a cell's text."""
    return len(value) if isinstance(value, str | bytes) else 0


def total_size(values: Sequence[object]) -> int:
    """About the bytes of cells' texts."""
    return sum(map(size_of, values))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list"}
    return names.get(type(value), type(value).__name__)
