"""Guards for files that came from elsewhere: a checkpoint is data, and its author may be anybody.

    config = read_json(member(folder, "config.json"), MAX_CONFIG_BYTES)

Every guard runs before the contents are used: names before files are opened, sizes before they are read,
numbers before anything is built from them.
"""

import json
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from export.errors import CheckpointError

MIB = 1 << 20
# Real ones: 1 KiB; 4 MiB for 100,000 tensors; 0.7 MiB for BERT's vocabulary; some kilobytes for each text.
MAX_CONFIG_BYTES = 4 * MIB
MAX_INDEX_BYTES = 16 * MIB
MAX_TOKENIZER_BYTES = 64 * MIB
MAX_GOLDEN_BYTES = 64 * MIB
# Widths, layers, labels, words of a vocabulary: the largest real vocabularies have a million.
MAX_NUMBER = 2_000_000


def member(folder: Path, name: Any) -> Path:
    """The path of file `name` directly in `folder`; the file need not exist.

    Raises:
        CheckpointError: `name` is no plain file name, or what lies there is no regular file, or is a link
            that leads out of the folder (a link into the hub's own cache is one that may).
    """
    if not isinstance(name, str) or not _is_plain(name):
        raise CheckpointError(
            f"{folder}: {_shown(name)} is not the name of a file in this folder; download it again"
        )
    path = folder / name
    if path.is_symlink() and not _stays(path.resolve(), folder):
        raise CheckpointError(f"{path} is a link to a place outside its folder; copy the file here instead")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise CheckpointError(f"{path} is not a regular file; download the checkpoint again")
    return path


def members(folder: Path, names: Iterable[Any]) -> list[Path]:
    """`member` of every distinct name, sorted: what the `weight_map` of a sharded checkpoint names."""
    return [
        member(folder, name) for name in sorted({each if isinstance(each, str) else "" for each in names})
    ]


def check_size(path: Path, limit: int) -> None:
    """Refuse a file of more than `limit` bytes, before it is read.

    Raises:
        CheckpointError: the file is larger.
    """
    size = path.stat().st_size
    if size > limit:
        raise CheckpointError(
            f"{path} has {size:,} bytes, more than the {limit:,} that such a file may have; "
            "download the checkpoint again"
        )


def read_text(path: Path, limit: int) -> str:
    """The file's text, UTF-8, of at most `limit` bytes.

    Raises:
        CheckpointError: it is larger, cannot be read or is not UTF-8.
    """
    try:
        check_size(path, limit)
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); download the checkpoint again") from error


def parse_json(text: str, origin: Path) -> Any:
    """Parse JSON of `origin`; nesting deeper than Python's stack is refused as text that does not parse is.

    Raises:
        CheckpointError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise CheckpointError(f"{origin} is nested too deeply; download the checkpoint again") from None
    except ValueError as error:
        raise CheckpointError(f"{origin} is not valid JSON ({error}); save the checkpoint again") from error


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in `path`, of at most `limit` bytes.

    Raises:
        CheckpointError: it is larger, cannot be read, does not parse or is no object.
    """
    parsed = parse_json(read_text(path, limit), path)
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; save the checkpoint again")
    return parsed


def check_numbers(raw: Any, origin: str) -> None:
    """Refuse a number beyond MAX_NUMBER anywhere in `raw`: it would become a shape, a count or a range.

    Raises:
        CheckpointError: the message names the field.
    """
    waiting = [(origin, raw)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise CheckpointError(
                f"{field} is {value:.1e}: no model has more than {MAX_NUMBER:,} of anything"
            )
        if isinstance(value, dict):
            waiting += [(f"{field}: {_shown(key)}", each) for key, each in value.items()]
        if isinstance(value, list):
            waiting += [(field, each) for each in value]


def _is_plain(name: str) -> bool:
    """One component on every system: no separator, no drive, no "..", nothing that a terminal acts on."""
    pure = (PurePosixPath(name).name, PureWindowsPath(name).name)
    return pure == (name, name) and name not in ("", ".", "..") and name.isprintable() and len(name) < 200


def _stays(target: Path, folder: Path) -> bool:
    """The hub's cache keeps files in `blobs`, and links to them in `snapshots/<revision>`."""
    folder = folder.resolve()
    homes = [folder]
    if folder.parent.name == "snapshots":
        homes.append(folder.parents[1] / "blobs")
    return any(target.is_relative_to(home) for home in homes)


def _shown(name: Any) -> str:
    """Printable and short, whatever it is."""
    return ascii(name) if len(ascii(name)) <= 80 else ascii(name)[:77] + "..."
