"""Every example that a reader may copy, run as written against the real Triton."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.launcher import TritonServer

EXAMPLES = Path(__file__).parents[3] / "clients" / "examples"


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=EXAMPLES.parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_python_example_prints_a_label_a_score_and_the_review(path: Path, server: TritonServer):
    host = server.http_url.removeprefix("http://")
    addresses = {"with_requests": server.http_url, "with_tritonclient_grpc": server.grpc_url}
    script = (
        [str(path)]
        if path.stem.startswith(("with_requests", "with_triton"))
        else ["-m", f"clients.examples.{path.stem}"]
    )
    lines = run([sys.executable, *script, addresses.get(path.stem, host)]).splitlines()
    assert len(lines) == 2
    for line, review in zip(
        lines,
        ["A delight from the first minute to the last.", "Dull, badly acted and far too long."],
        strict=True,
    ):
        label, score, text = line.split(maxsplit=2)
        assert label in ("negative", "positive")
        assert 0.5 <= float(score) <= 1.0
        assert text == review


def test_curl_example_gets_the_same_labels_in_all_three_ways(server: TritonServer):
    output = run(["sh", str(EXAMPLES / "curl.sh"), server.http_url])
    one, two, standard = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    labels = next(tensor["data"] for tensor in standard["outputs"] if tensor["name"] == "label")
    assert one["label"] == two["label"][0]
    assert two["label"] == labels
