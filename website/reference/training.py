"""The options of the training scripts: fields of a dataclass, in a script that trains when it is imported.

So they are read from its source.
"""

import ast
from collections.abc import Iterator

from training.long_texts import WAYS
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
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    for node in classes[0].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(node.value, ast.Call), node.target.id
            default, meaning = (_value(argument) for argument in node.value.args)
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


def _value(node: ast.expr) -> object:
    """Of a literal, or of a text that names the ways to read long ones."""
    return eval(compile(ast.Expression(node), "settings", "eval"), {"WAYS": WAYS})
