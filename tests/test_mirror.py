"""The folders of tests are those of the packages.

`python -m tests.test_mirror` lists the modules that no test file imports or is named after. Those are
tested as processes (servers, commands), or not at all.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PACKAGES = (
    *("benchmarks", "bulk", "clients", "deploy", "durable", "export", "gateway", "model_repository"),
    *("serving", "training", "website"),
)


def folders(top: Path) -> set[str]:
    """Every folder below, as its path from there."""
    return {str(each.relative_to(top)) for each in top.rglob("[!_]*") if each.is_dir()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_of_tests_is_a_folder_of_its_package(package: str) -> None:
    assert folders(TESTS / package) <= folders(ROOT / package)


def test_no_two_test_files_have_one_name() -> None:
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names)), "pytest imports test files by their names alone"


def modules(package: str) -> list[Path]:
    """As paths from the root; `__init__` and `__main__` are left out."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("[!_]*.py"))


def imports(test: Path) -> Iterator[str]:
    """`a.b` and `a.b.c` of `from a.b import c`, and `a.b` of `import a.b`."""
    for node in ast.walk(ast.parse(test.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from [f"{node.module}", *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def without_test_file(package: str) -> list[Path]:
    imported = {name for test in TESTS.rglob("*.py") for name in imports(test)}
    return [
        module
        for module in modules(package)
        if ".".join(module.with_suffix("").parts) not in imported
        and not any((TESTS / module.parent).glob(f"test_{module.name}"))
        and not any((TESTS / module.parent).glob(f"test_*_{module.name}"))
    ]


if __name__ == "__main__":
    for package in PACKAGES:
        missing = without_test_file(package)
        print(f"{package}: {len(missing)} of {len(modules(package))}", *missing, sep="\n    ")
