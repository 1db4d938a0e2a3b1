"""Turns ensembles to other versions as one change: all of them or none, whatever interrupts.

A journal with the new configurations is written before the first of them. From then on the change counts as
made: a process that finds the journal of a killed one completes it (`settle`). After any other failure the
change is taken back in the same way, and the server loads what it served before.
"""

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import durable
from export.errors import PublishError
from export.publishing.pins import LABELS_FILE, model_folder, replace_text
from export.publishing.signature import described_text, label_lines

if TYPE_CHECKING:
    from export.publishing.model_control import ExplicitServer

_JOURNAL = ".turning.json"


def turn_all(repository: Path, targets: Mapping[Path, int], server: "ExplicitServer | None") -> None:
    """Make the ensembles (configurations) of `targets` serve their versions; their models must be loaded.

    Raises:
        PublishError: the server does not load them, or the repository cannot be written. Disk and server are
            then as they were, as far as the server can be reached.
    """
    names = {model_folder(path).name for path in targets}
    before = {path: path.read_text(encoding="utf-8") for path in targets}
    folders = [model_folder(path) / str(version) for path, version in targets.items()]
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in made:
            folder.mkdir(exist_ok=True)
        for path, version in targets.items():
            if lines := label_lines(path, version):
                durable.write_text(model_folder(path) / str(version) / LABELS_FILE, lines)
        _write_all(repository, {path: described_text(path, version) for path, version in targets.items()})
        if server:
            server.load(names)
    except BaseException:
        _write_all(repository, before)
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        if server:
            with contextlib.suppress(PublishError):
                server.load(names)
        raise


def settle(repository: Path) -> None:
    """Complete a change that a killed process left half done; nothing otherwise. The caller holds the lock.

    Raises:
        PublishError: the journal cannot be read.
    """
    journal = repository / _JOURNAL
    if not journal.exists():
        return
    try:
        texts = json.loads(journal.read_text(encoding="utf-8")).items()
        configs = {repository / name: str(text) for name, text in texts if (repository / name).is_file()}
    except (ValueError, AttributeError) as error:
        raise PublishError(f"{journal} cannot be read ({error}); delete it and publish again") from error
    _write_all(repository, configs)


def is_settled(repository: Path) -> bool:
    """Whether no change was left half done."""
    return not (repository / _JOURNAL).exists()


def _write_all(repository: Path, texts: Mapping[Path, str]) -> None:
    """Write the text of every configuration, as the journal has it."""
    journal = repository / _JOURNAL
    content = {str(path.relative_to(repository)): text for path, text in texts.items()}
    durable.write_text(journal, json.dumps(content))
    for path, text in texts.items():
        replace_text(path, text)
    journal.unlink()
