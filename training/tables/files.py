"""From a name to a table: formats by suffix, compression, encodings; others are refused with advice."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets

from training.tables.columnar import read_parquet
from training.tables.delimited import count_rows, read_delimited
from training.tables.records import read_records
from training.tables.table import DataError, ReadOptions, Table

DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
RECORDS = (".json", ".jsonl", ".ndjson")
FORMATS = (*DELIMITED, *RECORDS, ".parquet")
NAMED = ".csv, .tsv, .json, .jsonl or .parquet"
TO_PARQUET = "write it as parquet (pandas: to_parquet)"
OTHERS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm"), "an Excel workbook: save the sheet as CSV UTF-8"),
    ".ods": "a spreadsheet: save the sheet as CSV, in UTF-8",
    **dict.fromkeys((".pkl", ".pickle"), f"a pickle, which can run code when it is read: {TO_PARQUET}"),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro", ".h5", ".hdf5"), f"not read: {TO_PARQUET}"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "a database: export the table as CSV"),
    **dict.fromkeys((".txt", ".md"), "plain text, without columns: write a CSV with a text and a label"),
    **dict.fromkeys((".zst", ".7z", ".rar", ".tar"), "packed: unpack it, or compress it with gzip"),
}
MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip; its name should end in .gz",
    b"PAR1": "a parquet file; its name should end in .parquet",
}


def read_table(source: str, split: str, wanted: Sequence[str], options: ReadOptions) -> Table:
    """A local file whole, or one split of a data set of the hub. `wanted`: columns that have to be there.

    Raises `DataError`.
    """
    return read_file(Path(source), wanted, options) if is_file_name(source) else read_hub(source, split)


def is_file_name(source: str) -> bool:
    """Whether `source` names a file, not a data set of the hub. Raises `DataError` for formats not read."""
    path = Path(source)
    kind = _format(path)
    if kind in FORMATS:
        return True
    if kind in OTHERS:
        raise DataError(f"{source} is {OTHERS[kind]}.")
    if path.is_file():
        raise DataError(f"{source}: the name does not say the format; it should end in {NAMED}.")
    return False


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in UNPACK:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def read_file(path: Path, wanted: Sequence[str], options: ReadOptions) -> Table:
    """Load a local file. A CSV's values stay text: "1" and "NA" are labels as written. Raises `DataError`."""
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    kind, source = _format(path), str(path)
    data = _unpacked(path)
    if kind == ".parquet":
        return read_parquet(data, source)
    _check_magic(data, source)
    text = _decode(data, source, options.encoding, kind)
    if not text.strip():
        raise DataError(f"{path} is empty.")
    if kind in RECORDS:
        return read_records(text, source, wanted)
    return read_delimited(text, source, DELIMITED[kind], wanted)


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        if len(members) != 1:
            raise OSError(f"it holds {len(members)} files, not one")
        return archive.read(members[0])


UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _unzip,
}


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    unpack = UNPACK.get(path.suffix.lower())
    try:
        return unpack(data) if unpack else data
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); pack it anew.") from error


def _check_magic(data: bytes, source: str) -> None:
    for start, kind in MAGIC.items():
        if data.startswith(start):
            raise DataError(f"{source} is {kind}, whatever its name says.")


def _decode(data: bytes, source: str, encoding: str, kind: str) -> str:
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise DataError(f"--encoding {encoding}: no such encoding; try windows-1252 or utf-16.") from error
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace") + "?"
        row = before.count("\n") + 1 if kind in RECORDS else count_rows(before)
        name = "UTF-8" if encoding.lower() in ("utf-8", "utf8") else encoding
        raise DataError(
            f"{source}, row {row}: not {name} (byte {error.start} is 0x{data[error.start]:02x}); save the "
            f"file as UTF-8, or name its encoding, such as --encoding {_likely(data)}."
        ) from error
    if text.count("\0") > len(text) // 4:
        raise DataError(
            f"{source}: every other byte is zero; name its encoding, such as --encoding utf-16-le."
        )
    return text


def _likely(data: bytes) -> str:
    return "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "windows-1252"


def read_hub(name: str, split: str) -> Table:
    """Load one split of a data set of the hub (or of a local folder in the hub's layout)."""
    try:
        content = datasets.load_dataset(name, split=split)
    except Exception as error:
        raise DataError(
            f"{name}: not a {NAMED} file, nor a data set whose split {split!r} can be loaded from the hub "
            f"({type(error).__name__}). Give a file with --data."
        ) from error
    names = content.column_names
    classes = {
        column: tuple(feature.names)
        for column, feature in content.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    return Table(name, names, [list(content[column]) for column in names], class_names=classes)
