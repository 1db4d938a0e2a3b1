"""Assembles what tritonserver needs around the binary of the nvidia-pytriton wheel.

Triton refuses symbolic links that leave the backend directory, so the files are copied: the Python backend
with the stub of the interpreter's version beside it, and our Python-based `onnxruntime` backend. Each content
is copied once, beside its final place, and then renamed. Later starts reuse the copy.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import durable
from serving.errors import ServingError
from serving.interpreter import Interpreter, ask, describe

PACKAGE = Path(__file__).parent
BACKEND = PACKAGE / "onnxruntime_backend"
CACHE = PACKAGE.parent / ".cache" / "triton"
SERVER_PYTHON = PACKAGE.parent / ".venv" / "server" / "bin" / "python"


@dataclass(frozen=True)
class Runtime:
    """Where tritonserver and its parts are, and the environment that its processes need."""

    binary: Path
    backends: Path
    environment: dict[str, str]


def assemble(python: Interpreter, cache: Path = CACHE) -> Runtime:
    """The runtime for this interpreter.

    Raises ServingError when the wheel lacks a part or the cache is read-only.
    """
    triton = Path(python.pytriton, "tritonserver")
    stub = triton / "python_backend_stubs" / ".".join(map(str, python.version)) / "triton_python_backend_stub"
    sources = [*(triton / "backends" / "python").glob("*.*"), stub, *sorted(BACKEND.glob("*.py"))]
    try:
        target = cache / _digest(sources)
        if not target.is_dir():
            _publish(lambda folder: _copy(folder, triton, stub), target)
    except OSError as error:
        raise ServingError(f"cannot assemble the server's runtime in {cache}: {error}") from None
    return Runtime(triton / "bin" / "tritonserver", target, _environment(python))


def _digest(sources: list[Path]) -> str:
    """Of names, sizes and times of all files, and of the contents of our own, which are small."""
    digest = hashlib.sha256()
    for path in sources:
        stat = path.stat()
        digest.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode())
        if path.is_relative_to(BACKEND):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _publish(fill, target: Path) -> None:  # type: ignore[no-untyped-def]
    """Fill a folder beside `target`, then rename it. If another start was faster, its folder stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".assembling-") as scratch:
        folder = Path(scratch, "backends")
        fill(folder)
        try:
            durable.rename(folder, target)
        except OSError:
            if not target.is_dir():
                raise


def _copy(folder: Path, triton: Path, stub: Path) -> None:
    """Lay out `python/` and `onnxruntime/`; the latter imports `serving.onnxruntime_backend` from its own
    folder."""
    shutil.copytree(
        triton / "backends" / "python", folder / "python", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy2(stub, folder / "python" / stub.name)
    package = folder / "onnxruntime" / "serving"
    shutil.copytree(BACKEND, package / BACKEND.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(PACKAGE / "__init__.py", package / "__init__.py")
    (package / BACKEND.name / "model.py").rename(folder / "onnxruntime" / "model.py")


def _environment(python: Interpreter) -> dict[str, str]:
    """The stub embeds the interpreter that `python3` on PATH names, and links libpython and the wheel's
    libraries.

    PYTHONPATH and PYTHONHOME are dropped: they would lead it to another environment's packages. Bytecode is
    not written: a polling server would take it for a change of the model, and load that again.
    """
    libraries = Path(python.pytriton).parent / "nvidia_pytriton.libs"
    paths = [str(libraries), str(Path(python.libpython).parent), os.environ.get("LD_LIBRARY_PATH", "")]
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {
        "PATH": f"{python.bin}{os.pathsep}{os.environ.get('PATH', '')}",
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def find_interpreter(python: Path | None) -> Interpreter:
    """The given one, else the running one if it has Triton, else the repository's server environment."""
    running = describe()
    if python is None and running.pytriton:
        return running
    chosen = python or SERVER_PYTHON
    if not chosen.exists():
        raise ServingError(
            f"{chosen} does not exist: run `make serve`, which creates the server's environment"
        )
    try:
        return ask(chosen)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServingError(
            f"{chosen} does not run: {error}; remove its environment and run `make serve`"
        ) from None
