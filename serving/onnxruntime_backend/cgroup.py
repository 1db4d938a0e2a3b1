"""What a container's limits are, from the cgroup file system of version 1 or 2."""

from collections.abc import Callable
from pathlib import Path

PROC, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
Read = Callable[[Path], float]  # the limit that a cgroup's folder sets, inf for none


def smallest_limit(
    controller: str, read_v2: Read, read_v1: Read, proc: Path = PROC, root: Path = ROOT
) -> float:
    """The limit of this process's cgroup, ``inf`` when there is none.

    The limits of all ancestors bind, too, so the smallest one on the way to the root counts. Inside a
    container the path in ``/proc/self/cgroup`` is the host's and may not exist; the root is then the
    container's own.
    """
    limits = [float("inf")]
    for line in read_text(proc).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: hierarchy::path
            limits.append(_on_the_way(root, path, read_v2))
        elif controller in controllers.split(","):
            limits += [_on_the_way(mount, path, read_v1) for mount in (root / controllers, root / controller)]
    return min(limits)


def _on_the_way(mount: Path, path: str, read: Read) -> float:
    folder = mount / path.lstrip("/")
    folders = [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]
    return min(read(each) for each in folders)


def read_text(path: Path) -> str:
    """Its contents, or nothing where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
