import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "clients"
ALLOWED = {"clients", "aiohttp", "numpy", "requests", "rich", "tqdm", "tritonclient", "typer"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_clients_speak_the_protocol_only_and_import_no_other_package_of_the_repository():
    sources = list(PACKAGE.rglob("*.py"))
    assert len(sources) > 10
    for path in sources:
        assert imported(path) <= ALLOWED | sys.stdlib_module_names, path
