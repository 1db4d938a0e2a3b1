"""Lines of a stream with their offsets, compressed or not. A line that is too long is not kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from bulk.errors import BadFile
from bulk.places import READ_BYTES, Source, opened

LONGEST = 16 << 20
BOM = b"\xef\xbb\xbf"


class Stream(Protocol):
    """What lines are read from."""

    def read(self, size: int) -> bytes: ...


class Lines:
    """Iterates over lines with their ends. at: offset behind the last one. A line over LONGEST is None."""

    def __init__(self, stream: Stream, at: int = 0) -> None:
        self.at, self.number = at, 0
        self._lines = self._read(stream)

    def __iter__(self) -> Iterator[bytes | None]:
        return self

    def __next__(self) -> bytes | None:
        return next(self._lines)

    def skip_to(self, offset: int) -> None:
        """Drops lines up to this offset."""
        while self.at < offset and next(self, b"") != b"":
            pass

    def _read(self, stream: Stream) -> Iterator[bytes | None]:
        rest, dropped = b"", 0
        while chunk := _more(stream):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield self._passed(line + b"\n", dropped)
                dropped = 0
            if len(rest) > LONGEST:
                rest, dropped = b"", dropped + len(rest)
        if rest or dropped:
            yield self._passed(rest, dropped)

    def _passed(self, line: bytes, dropped: int) -> bytes | None:
        self.at += dropped + len(line)
        self.number += 1
        return None if dropped or len(line) > LONGEST else line


def _more(stream: Stream) -> bytes:
    try:
        return stream.read(READ_BYTES)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise BadFile(f"can't be read to its end: {str(error).splitlines()[0].rstrip('.')[:200]}") from None


@contextmanager
def open_lines(source: Source) -> Iterator["Seeking"]:
    """Lines of a file from any place."""
    with opened(source) as stream:
        yield Seeking(stream, source.compression is None)


class Seeking:
    """`from_(offset)`: lines from there on. In a compressed file, offsets must only grow."""

    def __init__(self, stream: Stream, seekable: bool) -> None:
        self._stream, self._seekable = stream, seekable
        self._lines = Lines(stream)

    def from_(self, offset: int) -> Lines:
        """Lines from this offset on, where a line must begin."""
        if self._seekable and self._lines.at != offset:
            self._stream.seek(offset)  # type: ignore[attr-defined]
            self._lines = Lines(self._stream, offset)
        self._lines.skip_to(offset)
        return self._lines
