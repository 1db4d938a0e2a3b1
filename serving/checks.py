"""What must hold before a server can start, and what to do where it does not.

Each check raises ServingError.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from serving.errors import ServingError
from serving.interpreter import Interpreter

PYTHONS = ((3, 11), (3, 12))  # these have both a stub in Triton's wheel and a NumPy 1 wheel on PyPI
GLIBC = (2, 35)


def check_interpreter(python: Interpreter) -> None:
    """All checks of an interpreter, the most important first."""
    check_machine(python)
    check_version(python)
    check_packages(python)
    check_libpython(python)


def check_machine(python: Interpreter) -> None:
    """Triton on PyPI is built for Linux x86-64 and glibc 2.35."""
    if (python.system, python.machine) != ("Linux", "x86_64"):
        raise ServingError(
            f"the embedded server runs on Linux x86-64 only, not {python.system} {python.machine}: "
            "use the container (docker compose; docs/guides/platforms.md)"
        )
    if not python.glibc or tuple(map(int, python.glibc.split(".")[:2])) < GLIBC:
        found = f"glibc {python.glibc}" if python.glibc else "another C library"
        raise ServingError(
            "the embedded server needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04), "
            f"this system has {found}: upgrade it or use the container "
            "(docker compose; docs/guides/platforms.md)"
        )


def check_version(python: Interpreter) -> None:
    """Only some Python versions have what Triton needs (see PYTHONS)."""
    if python.version not in PYTHONS:
        raise ServingError(
            f"the embedded server needs Python 3.11 or 3.12, {python.executable} is "
            f"{python.version[0]}.{python.version[1]}. Install uv, which brings one, or name yours: "
            "remove .venv and run PYTHON=python3.12 make serve"
        )


def check_packages(python: Interpreter) -> None:
    """The server's processes import these packages; NumPy 2 corrupts tensors in this Triton release."""
    missing = [
        name
        for name in ("nvidia-pytriton", "numpy", "onnxruntime", "tokenizers")
        if name not in python.packages
    ]
    if missing or not python.pytriton:
        raise ServingError(
            f"{', '.join(missing) or 'nvidia-pytriton'} not installed for {python.executable}: "
            "run `make serve`, or pip install -r requirements/server.txt"
        )
    if int(python.packages["numpy"].split(".")[0]) >= 2:
        raise ServingError(
            f"NumPy {python.packages['numpy']} corrupts tensors in this Triton release: "
            f"{python.executable} -m pip install 'numpy<2'"
        )


def check_libpython(python: Interpreter) -> None:
    """Triton's stub embeds Python and links against its shared library."""
    if not python.libpython:
        major, minor = python.version
        raise ServingError(
            f"{python.executable} has no shared library libpython{major}.{minor}.so.1.0: install it "
            f"(apt install libpython{major}.{minor}), or use a Python built with --enable-shared"
        )


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """`ports` maps each option, such as HTTP_PORT, to its number; 0 stands for any free port."""
    wanted = [port for port in ports.values() if port]
    for name, port in ports.items():
        if wanted.count(port) > 1:
            raise ServingError(f"{name}={port} is given twice: HTTP, gRPC and metrics need a port each")
        if port and (reason := _bind_error(host, port)):
            raise ServingError(
                f"cannot listen on {host}:{port} ({reason}): stop its owner or set {name} to another port"
            )


def _bind_error(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            return getattr(error, "strerror", None) or str(error)
    return ""


def free_ports(host: str, count: int) -> list[int]:
    """Distinct ports that are free now."""
    probes = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def check_repository(repository: Path) -> None:
    """A folder with at least one model configuration."""
    if not repository.is_dir():
        raise ServingError(
            f"model repository {repository} does not exist: set MODEL_REPOSITORY, or run `make export`"
        )
    if not any(repository.glob("*/config.pbtxt")):
        raise ServingError(
            f"model repository {repository} holds no model: set MODEL_REPOSITORY, or run `make export`"
        )
