"""Files and folders: whole or not there, whatever interrupts, and on the disk before they have their name."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import durable

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted(path: Path) -> None:
    """Half of the work, in a folder or a file."""
    (path / "a" if path.is_dir() else path).write_text("new")
    raise KeyboardInterrupt


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = durable.write_text(tmp_path / "deep" / "file", "old\n")
    path.chmod(0o640)
    durable.write_text(path, "nëw\n")
    assert path.read_bytes() == "nëw\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(path.parent) == ["file"]


def test_an_interrupted_file_leaves_the_old_one_and_no_debris(tmp_path: Path) -> None:
    path = durable.write_text(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), durable.replacing(path) as beside:
        interrupted(beside)
    assert (path.read_text(), names(tmp_path)) == ("old", ["file"])


def test_writers_that_look_at_the_suffix_find_it(tmp_path: Path) -> None:
    with durable.replacing(tmp_path / "arrays.npz") as beside:
        np.savez(beside, one=np.ones(3))
    assert names(tmp_path) == ["arrays.npz"]


def test_an_interrupted_folder_leaves_the_old_one_and_no_debris(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with durable.new_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), durable.new_folder(target) as folder:
        interrupted(folder)
    assert ((target / "a").read_text(), names(tmp_path)) == ("old", ["folder"])


def test_a_finished_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("a", "b"):
        with durable.new_folder(target) as folder:
            (folder / name).write_text(name)
    assert (names(target), names(tmp_path)) == (["b"], ["folder"])


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder"
    with durable.new_folder(target) as folder:
        (folder / "a").write_text("old")

    def refuse(old: Path, new: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(durable, "rename", refuse)
    with pytest.raises(OSError, match="disk full"), durable.new_folder(target) as folder:
        (folder / "a").write_text("new")
    assert ((target / "a").read_text(), names(tmp_path)) == ("old", ["folder"])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_contents_are_on_the_disk_before_the_name_and_the_name_after(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append(("sync", re.sub(r"^\.\d+-\d+\.", "", name)))
        fsync(descriptor)

    def seen_replace(old: Path, new: Path) -> Path:
        events.append(("rename", new.name))
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    if kind == "file":
        durable.write_text(tmp_path / "it", "content")
        inside = []
    else:
        with durable.new_folder(tmp_path / "it") as folder:
            (folder / "a").write_text("content")
        inside = [("sync", "a")]
    assert events == [*inside, ("sync", "it"), ("rename", "it"), ("sync", tmp_path.name)]


def test_nothing_else_in_the_repository_renames_files() -> None:
    """One way to do it. What only moves a file within a folder that is still being made is no such rename."""
    allowed = {
        "durable/__init__.py",
        "serving/runtime.py",
        "clients/scored.py",  # the client imports nothing of ours
        "gateway/tasks/embedded.py",  # a message that a power cut takes costs nothing
        "gateway/tasks/store.py",  # a task that is being deleted
    }
    pattern = re.compile(
        r"\.rename\((?!columns)|\bos\.(rename|replace|renames)\(|\bshutil\.move\(|\bbeside\.replace\("
    )
    packages = ("training", "export", "serving", "clients", "gateway", "bulk", "benchmarks", "deploy")
    found = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if pattern.search(path.read_text().replace("durable.rename(", ""))
    }
    assert found <= allowed
