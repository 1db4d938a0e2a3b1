"""Which versions a model repository holds, which its ensembles serve, and how they are turned to another.

Every model folder holds the versions that a server loads, and `.retired-<N>` folders, which Triton ignores.
An ensemble's configuration names the version of its steps and its own, all the same number, so one rename of
that file moves all of it at once.
`turning` moves several ensembles as one change.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING

import durable
from export.errors import PublishError
from export.publishing.pins import is_ensemble, pinned_versions, step_models
from export.publishing.signature import complete_labels, described_models
from export.publishing.turning import is_settled, settle, turn_all

if TYPE_CHECKING:
    from export.publishing.model_control import ExplicitServer

_RETIRED = ".retired-"


def versions(repository: Path) -> list[int]:
    """Numbers that any model of the repository has or had, ascending; a number is never used again."""
    return sorted({number for folder in _folders(repository) for number in _numbers(folder)})


def ensembles(repository: Path) -> list[Path]:
    """The ensembles' configurations, those for `--model-config-name` included."""
    paths = [*repository.glob("*/config.pbtxt"), *repository.glob("*/configs/*.pbtxt")]
    return [path for path in sorted(paths) if is_ensemble(path)]


def served(repository: Path) -> dict[Path, int]:
    """The version that each ensemble whose steps are there is pinned to, by its configuration."""
    found = {}
    for path in ensembles(repository):
        version = max(pinned_versions(path), default=0)
        if version in complete_versions(repository, step_models(path), retired=False):
            found[path] = version
    return found


def complete_versions(repository: Path, steps: Iterable[str], retired: bool) -> set[int]:
    """Versions that all the models `steps` have; retired ones only if asked for."""
    return set.intersection(*(_numbers(repository / name, retired) for name in steps))


def keep_only(repository: Path, kept: Iterable[int]) -> None:
    """Retire all versions but `kept`, and bring those of them back that are retired."""
    numbers = set(kept)
    for folder in _folders(repository):
        for number in _numbers(folder):
            live, retired = folder / str(number), folder / f"{_RETIRED}{number}"
            if number in numbers and retired.exists():
                durable.rename(retired, live)
            elif number not in numbers and live.exists():
                durable.rename(live, retired)


def load_steps(paths: Iterable[Path], server: "ExplicitServer | None") -> None:
    """Have `server`, if one must be told, load all versions of the models that these ensembles run."""
    if server:
        server.load({name for path in paths for name in step_models(path)})


def rollback(repository: Path, server: "ExplicitServer | None" = None) -> dict[str, int]:
    """Return the ensembles that serve the newest version to the one before it; the models stay loaded.

    Returns the versions that ensembles now serve, by configuration. `server`: see `publish`.

    Raises:
        PublishError: there is no earlier version, or the repository cannot be written.
    """
    with locked(repository):
        now = served(repository)
        newest = max(now.values(), default=0)
        targets = {path: _before(repository, path, newest) for path in now if now[path] == newest}
        after = now | {path: version for path, version in targets.items() if version}
        if after == now:
            raise PublishError(f"{repository}: there is no version before {newest}; publish another instead")
        keep_only(repository, {*now.values(), *after.values()})
        changed = {path: after[path] for path in now if after[path] != now[path]}
        with ExitStack() as described:
            for path, version in changed.items():
                described.enter_context(described_models(repository, step_models(path), version))
            load_steps(changed, server)
            turn_all(repository, changed, server)
    return {str(path.relative_to(repository)): version for path, version in after.items()}


def complete_change(repository: Path) -> None:
    """Complete what a killed process left half done, and write labels that an earlier release did not write.

    Where there is nothing to do, nothing is written or locked.

    Raises:
        PublishError: another change is under way, or the repository cannot be written.
    """
    if not is_settled(repository):
        with locked(repository):
            pass
    with writable(repository):
        complete_labels(repository)


@contextmanager
def locked(repository: Path) -> Iterator[None]:
    """Hold the repository, which is made if it is not there, for one change.

    By flock on the folder itself, which ends with the process: filelock would leave a file among the models.

    Raises:
        PublishError: another change is under way, or the repository cannot be written.
    """
    with writable(repository):
        repository.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(repository, os.O_RDONLY)
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            settle(repository)
            yield
        except BlockingIOError:
            raise PublishError(f"{repository}: another publish is under way; try again after it") from None
        finally:
            os.close(descriptor)


@contextmanager
def writable(repository: Path) -> Iterator[None]:
    """Turns what the file system refuses into a PublishError."""
    try:
        yield
    except OSError as error:
        raise PublishError(f"{repository} cannot be written: {error.strerror}: {error.filename}") from error


def _before(repository: Path, path: Path, version: int) -> int:
    """The version served before `version`: one that is live, or else the newest that was retired."""
    for retired in (False, True):
        there = complete_versions(repository, step_models(path), retired)
        older = [each for each in there if each < version]
        if older:
            return max(older)
    return 0


def _folders(repository: Path) -> list[Path]:
    return [path.parent for path in repository.glob("*/config.pbtxt") if not is_ensemble(path)]


def _numbers(folder: Path, retired: bool = True) -> set[int]:
    names = [path.name for path in folder.glob("*") if path.is_dir()]
    if retired:
        names = [name.removeprefix(_RETIRED) for name in names]
    return {int(name) for name in names if name.isdecimal()}
