import subprocess
from pathlib import Path

import pytest

from website.reference import GENERATED, ROOT


@pytest.fixture(scope="session")
def reference() -> Path:
    """The generated parts, as `make docs` writes them."""
    for environment in ("server", "dev"):
        python = ROOT / ".venv" / environment / "bin" / "python"
        subprocess.run([python, "-m", "website.reference", environment], cwd=ROOT, check=True)
    return GENERATED
