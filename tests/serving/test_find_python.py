"""Which Python `make` builds the environments with, on machines that have this one or that."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "requirements" / "find-python.sh"


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python(folder: Path, name: str, version: tuple[int, int]) -> Path:
    """This interpreter, which says that it is another version."""
    lie = f"import sys; sys.version_info = {(*version, 0)}; exec(sys.argv.pop(1))"
    return program(folder, name, f'exec "{sys.executable}" -c "{lie}" "$2"')


def found(folder: Path) -> str:
    run = subprocess.run(
        ["/bin/sh", SCRIPT],
        env=os.environ | {"PATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        ({"python3": (3, 12)}, "python3"),
        ({"python3": (3, 13), "python3.11": (3, 11)}, "python3.11"),
        ({"python3": (3, 14), "python3.12": (3, 12), "python3.11": (3, 11)}, "python3.12"),
        ({"python3": (3, 13)}, "python3"),  # serving.preflight refuses it, and says why
        ({"python3": (3, 9)}, "python3"),
    ],
)
def test_the_first_that_fits_is_taken(
    installed: dict[str, tuple[int, int]], chosen: str, tmp_path: Path
) -> None:
    for name, version in installed.items():
        python(tmp_path, name, version)
    assert found(tmp_path) == chosen


def test_uv_brings_one_where_only_a_newer_one_is_found(tmp_path: Path) -> None:
    python(tmp_path, "python3", (3, 14))
    brought = tmp_path / "home" / "python"
    brought.parent.mkdir()
    inner = python(tmp_path, "to-be-installed", (3, 12))
    body = (
        f'case "$2" in find) test -x {brought} && echo {brought};; install) /bin/cp {inner} {brought};; esac'
    )
    program(tmp_path, "uv", body)
    assert found(tmp_path) == str(brought)


def test_uv_without_a_network_is_no_harm(tmp_path: Path) -> None:
    python(tmp_path, "python3", (3, 14))
    program(tmp_path, "uv", "exit 2")
    assert found(tmp_path) == "python3"
