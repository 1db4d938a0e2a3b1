"""Facts about a Python interpreter and its machine. Run as a script, this file prints them as JSON.

Triton's Python models run in the server environment's interpreter. The caller's may be another: tests run in
another environment. So that interpreter runs this file, which imports the standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGES = ("nvidia-pytriton", "numpy", "onnxruntime", "tokenizers")


@dataclass(frozen=True)
class Interpreter:
    """`version` is (major, minor). `libpython`: the shared library's path, or empty. `pytriton`: the folder
    of the package, or empty. `packages`: name to version."""

    executable: str
    version: tuple[int, int]
    system: str
    machine: str
    glibc: str
    libpython: str
    pytriton: str
    packages: dict[str, str]

    @property
    def bin(self) -> Path:
        """Folder whose `python3` starts this interpreter. Links stay, as virtual environments need them."""
        return Path(self.executable).parent


def describe() -> Interpreter:
    """The running interpreter."""
    spec = importlib.util.find_spec("pytriton")
    return Interpreter(
        executable=sys.executable,
        version=sys.version_info[:2],
        system=platform.system(),
        machine=platform.machine(),
        glibc=_glibc(),
        libpython=_libpython(),
        pytriton=str(Path(spec.origin).parent) if spec and spec.origin else "",
        packages={name: version for name in PACKAGES if (version := _version(name))},
    )


def ask(python: Path) -> Interpreter:
    """Describe another interpreter by running this file with it. Raises OSError or CalledProcessError."""
    if Path(sys.executable) == python:
        return describe()
    answer = subprocess.run([python, "-I", __file__], check=True, capture_output=True, text=True).stdout
    fields = json.loads(answer)
    return Interpreter(**fields | {"version": tuple(fields["version"])})


def _glibc() -> str:
    """Such as `2.36`; empty where the C library is another one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError, AttributeError):
        return ""
    return version if name == "glibc" else ""


def _libpython() -> str:
    """Debian links its `python3` statically and packages the library apart, so look for the file itself."""
    soname = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    folders = [
        sysconfig.get_config_var("LIBDIR"),
        sysconfig.get_config_var("LIBPL"),
        f"{sys.base_prefix}/lib",
    ]
    folders += [f"{folder}/{sysconfig.get_config_var('MULTIARCH')}" for folder in ("/usr/lib", "/lib")]
    found = (Path(folder, soname) for folder in folders if folder)
    return next((str(path) for path in found if path.exists()), "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    print(json.dumps(asdict(describe())))
