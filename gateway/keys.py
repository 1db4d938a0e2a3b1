"""API keys: a file of their hashes, read again when it changes.

    # id       sha256 of the key    texts a minute (optional, 0: no limit)
    reporting  5e884898da2804...    6000

A key is 256 random bits, so a plain hash is enough: there is nothing to guess, and no salt is needed.
"""

import hashlib
import hmac
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError

PREFIX = "mbt_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LINE = re.compile(rf"(?P<id>{NAME.pattern})\s+(?P<hash>[0-9a-f]{{64}})(?:\s+(?P<limit>\d{{1,9}}))?")
LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Key:
    """limit: texts a minute; None takes the service's own."""

    id: str
    digest: bytes
    limit: int | None


class Keys:
    """The keys of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = time.monotonic()
        self._stamp = self._stamp_of_file()
        self._keys = read_keys(path)

    def find(self, presented: str) -> Key | None:
        """The key that was presented. Every stored hash is compared, each in constant time."""
        self._look_again()
        digest = _digest(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _look_again(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = now
        try:
            stamp = self._stamp_of_file()
            if stamp != self._stamp:
                self._keys, self._stamp = read_keys(self._path), stamp
        except (OSError, GatewayError):
            return  # a file that is being edited: the keys that were read last still hold

    def _stamp_of_file(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise GatewayError(f"API_KEYS_FILE={self._path} can't be read: {error.strerror}") from None
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_keys(path: Path) -> tuple[Key, ...]:
    """Reads a key file. Raises GatewayError, which names the line; the line itself is not repeated."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"API_KEYS_FILE={path} can't be read: {error}") from None
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, start=1):
        if not (line := line.partition("#")[0].strip()):
            continue
        match = LINE.fullmatch(line)
        if match is None or match["id"] in keys:
            raise GatewayError(
                f"{path}, line {number}: write an id of its own, the SHA-256 of the key, and if wanted "
                "its texts a minute; `python -m gateway add-key ID` does"
            )
        limit = int(match["limit"]) if match["limit"] else None
        keys[match["id"]] = Key(match["id"], bytes.fromhex(match["hash"]), limit)
    return tuple(keys.values())


def add_key(path: Path, name: str, limit: int | None = None) -> str:
    """Appends a new key to the file and returns it; it is stored nowhere else.

    Raises GatewayError when the name is taken, or is no id.
    """
    if not NAME.fullmatch(name):
        raise GatewayError(f"{name!r} is no id: use letters, digits, '.', '_' and '-', 64 at most")
    if path.exists() and any(key.id == name for key in read_keys(path)):
        raise GatewayError(f"{path} has a key {name!r}; remove its line to revoke it, or take another id")
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {_digest(key).hex()}{'' if limit is None else f' {limit}'}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
