"""The Flask app's own table, by pytest-benchmark: ours beside the rebuilt app, blocks alternating."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load.texts import Review
from benchmarks.paths import ROOT
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena
from benchmarks.servers.contestants import FLASK_LATENCY, OURS

SPEC_VARIABLE = "BENCHMARK_TABLE"
TEST_FILE = Path(__file__).with_name("pytest_table.py")
SINGLES = ("positive_query", "negative_query", "single_on_fast_model")
QUERIES = (
    *SINGLES,
    "multiple_queries_on_batch_endpoint",
    "multiple_queries_on_basic_endpoint",
    "all_queries_on_batch_endpoint",
    "all_queries_on_basic_endpoint",
)
TIMEOUT_S = 900
FAILED = re.compile(r"^FAILED .*\[(\w+)-(\w+)-\d+\] - (.*)$", re.MULTILINE)


def measure_table(stage: Stage, arena: Arena) -> dict:
    """Run the pytest file; rounds in seconds by query and contestant, and how many texts a query has.

    Who fails a query has no rounds of it.
    """
    spec = make_spec(stage, arena)
    with tempfile.TemporaryDirectory() as name:
        specification, report = Path(name) / "spec.json", Path(name) / "report.json"
        specification.write_text(json.dumps(spec), encoding="utf-8")
        for who, why in failures_in(_run_pytest(specification, report)):
            stage.failures.add(who, why)
        rounds = merge_blocks(json.loads(report.read_text(encoding="utf-8")))
    return {"rounds": rounds, "sizes": {query: len(texts) for query, texts in spec["texts"].items()}}


def make_spec(stage: Stage, arena: Arena) -> dict:
    """What the pytest file needs: addresses, texts, sizes."""
    reviews, settings = stage.reviews, stage.settings
    triton = arena.triton.http_url
    many = [review.text for review in reviews[: settings.multiple_queries]]
    everything = [review.text for review in reviews[: settings.all_queries]]
    texts = {"positive_query": [_of_label(reviews, 1).text], "negative_query": [_of_label(reviews, 0).text]}
    texts["single_on_fast_model"] = texts["positive_query"]
    for query in QUERIES[len(SINGLES) :]:
        texts[query] = many if query.startswith("multiple") else everything
    return {
        "flask": flask.base_url if (flask := arena.contestants.get(FLASK_LATENCY)) else None,
        "triton": triton.removeprefix("http://"),
        "rounds": settings.table_rounds // settings.table_blocks,
        "blocks": settings.table_blocks,
        "texts": texts,
    }


def _of_label(reviews: list[Review], label: int) -> Review:
    """A review of about average length, with this label where labels are known."""
    typical = sorted(reviews, key=lambda review: review.tokens)[len(reviews) // 2 :]
    return next((review for review in typical if review.label == label), typical[label])


def contestants_of(query: str) -> tuple[str, ...]:
    """Who runs this query: the fast row compares the fast models, the others both of ours."""
    return ("flask", OURS[1]) if query == "single_on_fast_model" else ("flask", *OURS)


def merge_blocks(report: dict) -> dict[str, dict[str, list[float]]]:
    """pytest-benchmark's JSON to all rounds of each query and contestant, blocks joined."""
    rounds: dict[str, dict[str, list[float]]] = {}
    for benchmark in report["benchmarks"]:
        query, contestant = benchmark["params"]["query"], benchmark["params"]["contestant"]
        rounds.setdefault(query, {}).setdefault(contestant, []).extend(benchmark["stats"]["data"])
    return rounds


def failures_in(shown: str) -> list[tuple[str, str]]:
    """Contestant and reason of each failed case, from pytest's summary."""
    return [(who, f"{query}: {why}") for query, who, why in FAILED.findall(shown)]


def _run_pytest(specification: Path, report: Path) -> str:
    """What pytest printed; some of its cases may have failed."""
    command = [sys.executable, "-m", "pytest", str(TEST_FILE), "-q", "-p", "no:cacheprovider"]
    command += [f"--benchmark-json={report}", "--benchmark-save-data", "-o", f"timeout={TIMEOUT_S}"]
    # The summary's lines are cut at the terminal's width.
    environment = {**os.environ, SPEC_VARIABLE: str(specification), "COLUMNS": "500"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not report.is_file():
        raise BenchmarkError(f"pytest-benchmark failed: {done.stdout.strip()[-400:]}")
    return done.stdout
