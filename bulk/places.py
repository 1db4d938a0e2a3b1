"""Where inputs lie and outputs go: this machine's files, or any file system that fsspec speaks.

find_inputs(["reviews/", "s3://bucket/day=*/part-*.jsonl.zst"])
with new_file(open_place("s3://bucket/scored"), "day=1/a.parquet") as path: ...   # there whole, or not
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

import durable
from bulk.errors import BadFile, BulkError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
MAGIC = frozenset("*?[")
READ_BYTES = 1 << 20
# Here an upload appears whole, when it is complete. Elsewhere a file gets another name first, then its own.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"})


@dataclass(frozen=True)
class Place:
    """A path in a file system, by its URL: each process opens its own."""

    url: str

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system; fsspec keeps one a process."""
        return _split(self.url)[0]

    @property
    def path(self) -> str:
        """Without the protocol."""
        return _split(self.url)[1].rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether this machine's own calls work on it."""
        return isinstance(self.fs, LocalFileSystem)

    def inner(self, relative: str) -> str:
        """The path of something inside."""
        return f"{self.path}/{relative}"

    def files(self) -> set[str]:
        """Relative paths of everything inside, as the store has it now."""
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path):
            return set()
        found = self.fs.find(self.path)
        return {each.removeprefix(self.path).lstrip("/") for each in found}

    def read(self, relative: str) -> bytes | None:
        """What a file inside holds; None where there is none."""
        try:
            return self.fs.cat_file(self.inner(relative))
        except FileNotFoundError:
            return None


def open_place(url: str) -> Place:
    """The place of a path or URL. Raises BulkError where its protocol is unknown or its package missing."""
    place = Place(str(Path(url).absolute()) if "://" not in url else url)
    _split(place.url)
    return place


def _split(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise BulkError(f"{url} needs a package that is not installed: {error}") from None
    except ValueError as error:
        raise BulkError(f"{url} can't be opened: {error}") from None


@dataclass(frozen=True)
class Source:
    """An input file. name: its path below what was asked for, which output keeps. stamp: mtime or etag."""

    url: str
    name: str
    form: str
    compression: str | None
    size: int
    stamp: str


def find_inputs(urls: Sequence[str]) -> list[Source]:
    """The files of paths, folders and globs, ordered by name.

    Raises BulkError where something is not there, or two files would become the same output.
    """
    found: dict[str, Source] = {}
    for url in urls:
        for source in _expand(open_place(url)):
            other = found.setdefault(source.name, source)
            if other.url != source.url:
                raise BulkError(
                    f"{other.url} and {source.url} would both become {source.name} in the output: name the "
                    "folder above them instead"
                )
    return [found[name] for name in sorted(found)]


def _expand(place: Place) -> list[Source]:
    fs, path = place.fs, place.path
    try:
        if not fs.exists(path) and MAGIC & set(path):
            root = path[: min(path.index(letter) for letter in MAGIC if letter in path)].rpartition("/")[0]
            paths = [each for each in fs.glob(path) if not fs.isdir(each)]
            found = [each for each in paths if _is_data(each, root)]
        elif fs.isdir(path):
            root, found = path, [each for each in fs.find(path) if _is_data(each, path)]
        elif fs.exists(path):
            if _form(path) is None:
                raise BulkError(f"{place.url} ends in none of {', '.join(FORMATS)} (.gz, .zst)")
            root, found = path.rpartition("/")[0], [path]
        else:
            raise BulkError(f"there is no {place.url}")
        if not found:
            raise BulkError(f"{place.url} holds no parquet, CSV or JSON lines files")
        return [_source(fs, each, root) for each in found]
    except PermissionError:
        raise BulkError(f"{place.url} may not be read: permission denied") from None
    except OSError as error:
        raise BulkError(f"{place.url} can't be read: {error.strerror or error}") from None


def _source(fs: fsspec.AbstractFileSystem, path: str, root: str) -> Source:
    form, compression = _form(path) or ("", None)
    info = fs.info(path)
    return Source(
        url=fs.unstrip_protocol(path) if not isinstance(fs, LocalFileSystem) else path,
        name=path.removeprefix(root).lstrip("/"),
        form=form,
        compression=compression,
        size=int(info["size"]),
        stamp=_stamp(fs, path, info),
    )


def _stamp(fs: fsspec.AbstractFileSystem, path: str, info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "mtime", "LastModified"):
        if info.get(key):
            return str(info[key]).strip('"')
    return str(fs.modified(path))


def _is_data(path: str, root: str) -> bool:
    """As in Spark, `.name` and `_name` are no data; a partition such as `_day=1` is."""
    parts = path.removeprefix(root).lstrip("/").split("/")
    hidden = any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts)
    return not hidden and _form(path) is not None


def _form(path: str) -> tuple[str, str | None] | None:
    suffixes = [each.lower() for each in Path(path).suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    form = (
        FORMATS.get(suffixes[-2] if compression and len(suffixes) > 1 else suffixes[-1]) if suffixes else None
    )
    return None if form is None or (compression and form == "parquet") else (form, compression)


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Its bytes, decompressed. Raises BadFile where it can't be opened.

    Arrow decompresses: it reads every member and frame, and notices an end that is cut off.
    """
    place = Place(source.url)
    try:
        raw = place.fs.open(place.path, "rb")
    except PermissionError:
        raise BadFile("may not be read: permission denied") from None
    except OSError as error:
        raise BadFile(f"can't be opened: {error.strerror or error}") from None
    with raw:
        yield (
            pa.CompressedInputStream(pa.PythonFile(raw, "r"), source.compression)
            if source.compression
            else raw
        )


@contextmanager
def new_file(place: Place, relative: str) -> Iterator[Path]:
    """A local path to write to, whose content appears in `place` when the block ends well: whole, or not."""
    path = place.inner(relative)
    if place.is_local:
        with durable.replacing(Path(path)) as beside:
            yield beside
        return
    with tempfile.TemporaryDirectory(prefix="bulk-") as folder:
        local = Path(folder) / Path(relative).name
        yield local
        _upload(place, local, path)


def _upload(place: Place, local: Path, path: str) -> None:
    fs = place.fs
    if place.url.partition("://")[0] in OBJECT_STORES:
        fs.put_file(str(local), path)
        return
    folder, _, name = path.rpartition("/")
    fs.makedirs(folder, exist_ok=True)
    fs.put_file(str(local), f"{folder}/.{name}")
    fs.mv(f"{folder}/.{name}", path)
