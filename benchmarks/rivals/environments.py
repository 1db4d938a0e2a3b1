"""The rivals' own environments, .venv/rival-NAME, built from requirements/rivals/NAME.txt when asked for."""

import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.paths import ROOT

_BUILT = ".installed"


def environment(name: str) -> Path:
    """Build the environment, unless it is there and as its requirements say; return its bin folder.

    Raises:
        BenchmarkError: pip could not install it; the message has pip's last error.
    """
    requirements, folder = ROOT / "requirements" / "rivals" / f"{name}.txt", ROOT / ".venv" / f"rival-{name}"
    wanted, built = requirements.read_text(encoding="utf-8"), folder / _BUILT
    if not built.is_file() or built.read_text(encoding="utf-8") != wanted:
        _run([sys.executable, "-m", "venv", str(folder)], name)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements)], name)
        built.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
        # pip ends with hints; what it could not do is in a line before them.
        why = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise BenchmarkError(f"{name} does not install here: {why[:300]}")
