"""Reads the header of a safetensors file, not its data, and refuses one that contradicts itself.

    for name, entry in check_tensor_file(path).items():
        entry.dtype, entry.shape    # "F16", (512, 384)

Format: 8 bytes little-endian length, that many bytes of JSON, then the data without gaps
(https://github.com/huggingface/safetensors#format).
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.checkpoint.untrusted import MAX_NUMBER, MIB, parse_json
from export.errors import CheckpointError

# A header of 100,000 tensors has some 10 MiB; MobileBERT's has 1,100 tensors and 0.1 MiB.
MAX_HEADER_BYTES = 16 * MIB
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
# The 24 layers take 94 MiB in float32.
MAX_FILE_BYTES = 8 << 30
_ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
}
_ITEM_BYTES |= {"I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}


@dataclass(frozen=True)
class TensorEntry:
    """What the header says of one tensor; `begin` and `end` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_tensor_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> dict[str, TensorEntry]:
    """Names of the tensors in `path` and what the header says of each, in the order of their data.

    Raises:
        CheckpointError: the file is larger than `max_bytes`, or the header is too large, is not JSON,
            declares shapes that do not match its offsets, or data that overlaps, leaves gaps or goes beyond
            the file.
    """
    try:
        header, data_bytes = _read_header(path, max_bytes)
        entries = _parse(header, path)
        _check_layout(entries, data_bytes)
    except (_Refused, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); save or download it again") from error
    return entries


class _Refused(ValueError):
    """What is wrong with a header; the caller adds which file."""


def _read_header(path: Path, max_bytes: int) -> tuple[str, int]:
    """The header's JSON and the number of bytes of data behind it."""
    size = path.stat().st_size
    if size > max_bytes:
        raise _Refused(f"it has {size:,} bytes, more than the limit of {max_bytes:,}")
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= size - 8:
            raise _Refused("it is no safetensors file, or only a part of one")
        if length > MAX_HEADER_BYTES:
            raise _Refused(f"its header has {length:,} bytes, more than the limit of {MAX_HEADER_BYTES:,}")
        try:
            return file.read(length).decode("utf-8"), size - 8 - length
        except UnicodeDecodeError as error:
            raise _Refused("its header is not UTF-8") from error


def _parse(header: str, path: Path) -> dict[str, TensorEntry]:
    parsed = parse_json(header, path)
    if not isinstance(parsed, dict):
        raise _Refused("its header is not a JSON object")
    parsed.pop("__metadata__", None)
    if len(parsed) > MAX_TENSORS:
        raise _Refused(f"it declares {len(parsed):,} tensors, more than the limit of {MAX_TENSORS:,}")
    entries = {name: _entry(name, fields) for name, fields in parsed.items()}
    return dict(sorted(entries.items(), key=lambda item: item[1].begin))


def _entry(name: str, fields: Any) -> TensorEntry:
    try:
        begin, end = fields["data_offsets"]
        entry = TensorEntry(fields["dtype"], tuple(fields["shape"]), begin, end)
    except (TypeError, KeyError, ValueError) as error:
        raise _Refused(f"tensor {name[:100]!a} lacks dtype, shape or data_offsets") from error
    numbers = (begin, end, *entry.shape)
    if len(entry.shape) > MAX_DIMENSIONS or not all(_is_count(number) for number in numbers):
        raise _Refused(f"tensor {name[:100]!a} has an impossible shape")
    if any(size > MAX_NUMBER for size in entry.shape):
        raise _Refused(f"tensor {name[:100]!a} has a dimension of more than {MAX_NUMBER:,}")
    if not isinstance(entry.dtype, str) or entry.dtype not in _ITEM_BYTES:
        raise _Refused(f"tensor {name[:100]!a} has an unknown dtype")
    if math.prod(entry.shape) * _ITEM_BYTES[entry.dtype] != end - begin:
        raise _Refused(f"tensor {name[:100]!a} declares another size than its data has")
    return entry


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _check_layout(entries: dict[str, TensorEntry], data_bytes: int) -> None:
    """No two tensors share bytes, and every byte belongs to a tensor."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            raise _Refused(f"the data of tensor {name[:100]!a} overlaps another's or leaves a gap")
        position = entry.end
    if position != data_bytes:
        raise _Refused(f"its tensors take {position:,} bytes, but it holds {data_bytes:,}")
