"""The options of the training scripts: fields of a dataclass, in a script that trains when it is imported.

So they are read from its source.
"""

import ast
import importlib
from collections.abc import Iterator, Mapping

from website.reference import ROOT
from website.reference.markdown import code, paragraphs, table, text


def finetune() -> str:
    """`python -m training.finetune`."""
    return _script("finetune", "Fine-tune MobileBERT on labelled texts.")


def distill() -> str:
    """`python -m training.distill`."""
    return _script("distill", "Distil a small MobileBERT from labelled and unlabelled texts.")


def options(script: str) -> Iterator[tuple[str, object, str]]:
    """Name, default and help of each option."""
    tree = ast.parse((ROOT / "training" / f"{script}.py").read_text(encoding="utf-8"))
    imports = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    for node in classes[0].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(node.value, ast.Call), node.target.id
            default, meaning = (_value(argument, imports) for argument in node.value.args)
            yield f"--{node.target.id.replace('_', '-')}", default, str(meaning)


def _script(name: str, what: str) -> str:
    rows = [[code(option), text(meaning), _shown(default)] for option, default, meaning in options(name)]
    return paragraphs(
        f"### python -m training.{name}",
        what,
        table(["option", "meaning", "default"], rows),
    )


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "" if default == "" else code(str(default))


def _value(node: ast.expr, imports: Mapping[str, tuple[str, str]]) -> object:
    """Of a literal, or of an expression of what the script imports."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & imports.keys()
    known = {name: getattr(importlib.import_module(imports[name][0]), imports[name][1]) for name in names}
    return eval(compile(ast.Expression(node), "settings", "eval"), known)
