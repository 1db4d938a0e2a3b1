"""Celery's broker without a server: messages are files in the tasks' folder.

kombu's own transport opens a message under its final name before it writes it, so a worker can read half of
one. Here a message gets its final name last.
"""

import os
import secrets
import time
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

SCHEME = "embedded"


class Channel(filesystem.Channel):
    """Writes a message under another name, then renames it."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns()}_{secrets.token_hex(4)}.{queue}.msg"
        beside = folder / f".{name}.part"
        beside.write_text(dumps(payload))
        beside.rename(folder / name)


class Transport(filesystem.Transport):
    """kombu's filesystem transport with this channel."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def transport_options(folder: Path) -> dict[str, Any]:
    """Options of the transport whose messages are in this folder, which is made."""
    places = {name: folder / name for name in ("messages", "control", "taken")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": os.fspath(places["messages"]),
        "data_folder_out": os.fspath(places["messages"]),
        "control_folder": os.fspath(places["control"]),
        "processed_folder": os.fspath(places["taken"]),
        "polling_interval": 0.2,
    }
