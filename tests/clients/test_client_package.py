"""`pip install .` gives the client to a program of any folder, as a package of its own name."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from clients import SentimentClient
from serving.launcher import TritonServer

ROOT = Path(__file__).parents[2]
PACKAGE = "mobilebert_triton_client"
TEXT = "A warm, funny and clever film."


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed into. From a copy: setuptools builds beside the sources."""
    home = tmp_path_factory.mktemp("package")
    source = home / "source"
    shutil.copytree(ROOT / "clients", source / "clients", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    offline = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", home / "site", source], check=True)
    return home / "site"


def run(installed: Path, *command: str | Path) -> str:
    """From a folder where the repository can't be imported."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        command, cwd=installed.parent, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_another_program_imports_and_uses_it(installed: Path, server: TritonServer) -> None:
    program = (
        f"import importlib.util, {PACKAGE} as package\n"
        "assert importlib.util.find_spec('clients') is None\n"
        f"with package.SentimentClient({server.http_url!r}) as client:\n"
        f"    print(client.classify_one({TEXT!r}).label)"
    )
    with SentimentClient(server.http_url) as client:
        assert run(installed, sys.executable, "-c", program).strip() == client.classify_one(TEXT).label


def test_its_command_classifies_and_names_itself(installed: Path, server: TritonServer) -> None:
    command = installed / "bin" / "mobilebert-triton"
    with SentimentClient(server.http_url) as client:
        assert client.classify_one(TEXT).label in run(installed, command, TEXT, "--url", server.http_url)
    assert "Usage: mobilebert-triton [OPTIONS]" in run(installed, command, "--help")
    assert "Usage: mobilebert-triton submit" in run(installed, command, "submit", "--help")
    assert f"Usage: python -m {PACKAGE} [" in run(installed, sys.executable, "-m", PACKAGE, "--help")


def test_it_tells_type_checkers_of_its_types_and_leaves_the_examples_out(installed: Path) -> None:
    assert (installed / PACKAGE / "py.typed").exists()
    assert not (installed / PACKAGE / "examples").exists()


def test_it_depends_on_what_it_imports_and_on_no_other_package_of_the_repository() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {each.partition("[")[0].partition(">")[0] for each in project["dependencies"]}
    homes = packages_distributions()
    imported = imported_modules(ROOT / "clients") - sys.stdlib_module_names
    assert {home for module in imported for home in homes[module]} == declared
    of_examples = imported_modules(ROOT / "clients" / "examples") - sys.stdlib_module_names
    assert of_examples <= {"clients", "requests", *imported}


def imported_modules(folder: Path) -> set[str]:
    """Top-level names that the files of the folder import absolutely."""
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    return found
