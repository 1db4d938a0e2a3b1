"""The metrics: ours at Triton's port, and the gateway's."""

import ast
import tempfile
from collections.abc import Iterator
from pathlib import Path

from website.reference import ROOT
from website.reference.markdown import code, table, text

HEADS = ["metric", "type", "meaning"]


def parts() -> dict[str, str]:
    """Both tables."""
    return {"metrics-triton": table(HEADS, _triton()), "metrics-gateway": table(HEADS, _gateway())}


def _triton() -> Iterator[list[str]]:
    """From the source: its module can only be imported in a process of Triton."""
    source = (ROOT / "serving" / "onnxruntime_backend" / "metrics.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FAMILIES":
            assert isinstance(node.value, ast.Dict)
            for name, family in zip(node.value.keys, node.value.values, strict=True):
                assert name is not None
                assert isinstance(family, ast.Tuple)
                kind, meaning = map(ast.unparse, family.elts)
                yield [
                    code(f"onnxruntime_{ast.literal_eval(ast.unparse(name))}"),
                    kind.lower(),
                    text(ast.literal_eval(meaning)),
                ]


def _gateway() -> Iterator[list[str]]:
    """From a registry as a gateway makes it."""
    from prometheus_client.parser import text_string_to_metric_families

    from gateway.backlog import Backlog
    from gateway.metrics import Metrics
    from gateway.tasks.store import Store

    with tempfile.TemporaryDirectory() as folder:
        page = Metrics(Backlog(1), Store(Path(folder))).text().decode()
    for family in text_string_to_metric_families(page):
        if family.name.startswith("gateway_"):
            ending = "_total" if family.type == "counter" else ""
            yield [code(family.name + ending), family.type, text(family.documentation)]
