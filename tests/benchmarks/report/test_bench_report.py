import json
import math

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.report.figures import Figures
from benchmarks.report.flask_table import flask_table
from benchmarks.report.load_tables import shares_of_limit
from benchmarks.report.markdown import cell, table
from benchmarks.report.render import BEGIN, END, limits_line, refresh_page, render
from benchmarks.report.targets import all_targets
from benchmarks.report.two_runs import two_runs
from benchmarks.run.store import Store
from benchmarks.servers import contestants as names

MACHINE = {
    "cpu": "A CPU",
    "cpu_family": "1",
    "cpu_model": "2",
    "cores": 2,
    "vector_instructions": ["avx2"],
    "memory_gib": 4.0,
    "system": "Linux",
    "python": "3.11",
    "packages": {"torch": "1"},
}
# Reviews per second at 16 clients and p50 in seconds at 1, for each contestant.
SPEEDS = {
    names.FLASK_RECOMMENDED: (4.0, 0.30),
    names.FLASK_BEST: (5.0, 0.24),
    names.FLASK_LATENCY: (3.0, 0.15),
    names.PADDED: (6.0, 0.20),
    names.SENTIMENT: (9.0, 0.12),
    names.SENTIMENT_FAST: (20.0, 0.04),
}


def window(contestant: str, concurrency: int, speed: float, latency: float) -> dict:
    return {
        "contestant": contestant,
        "round": 0,
        "concurrency": concurrency,
        "seconds": 2.0,
        "latencies": [latency] * 5,
        "tokens": int(200 * speed),
        "reviews_per_second": speed,
    }


def perf_row(model: str, length: str, concurrency: int | None, rate: float | None) -> dict:
    return {
        "length": length,
        "mean_tokens": {"short": 20.0, "imdb": 100.0, "worst": 512.0}[length],
        "model": model,
        "protocol": "http",
        "concurrency": concurrency,
        "requests_per_second": rate,
        "summary": {"Inferences/Second": 9.0, "Server Queue": 1000.0, "Server Compute Infer": 2000.0},
        "latencies": [0.1, 0.2],
    }


@pytest.fixture
def store(tmp_path) -> Store:
    """A store with every section that has a table of its own, from round figures."""
    made = Store(tmp_path / "machine")
    made.describe_run(machine=MACHINE, settings="default", finished=True, seconds=60)
    shape = {
        "hidden_size": 512,
        "embedding_size": 128,
        "intra_bottleneck_size": 128,
        "intermediate_size": 512,
    }
    shape |= {"num_hidden_layers": 24, "num_feedforward_networks": 4, "trigram_input": True}
    facts = {"shape": shape, "mean_tokens": {"imdb": 100.0}, "imdb_tokens": [100], "source": "made-up texts"}
    layer = dict.fromkeys(("queue", "compute_input", "compute_infer", "compute_output"), 1.0)
    layers = {"latency": 9.0, "http": 0.5, "steps": 0.5, "tokenizer": layer, "model": layer}
    layers |= {"rows_per_run": 2.0, "outside_runs": 0.04}
    load = [window(key, 16, speed, 0.5) for key, (speed, _) in SPEEDS.items()]
    load += [window(key, 1, 3.0, latency) for key, (_, latency) in SPEEDS.items()]
    rounds = {"positive_query": {"flask": [0.2, 0.3], "sentiment": [0.1, 0.1]}}
    in_process = [{"runner": "packed int8", "rows": 1, "reviews": 8, "tokens": 800, "seconds": 0.4}]
    sections = {
        "peak": {"fp32": {"torch": 100.0}, "bf16": {"torch": 200.0}, "int8": {"onnxruntime": 400.0}},
        "layers24": facts,
        "layers24.load": load,
        "layers24.in_process": in_process,
        "layers24.layers": {names.SENTIMENT_FAST: layers},
        "layers24.table": {"rounds": rounds, "sizes": {"positive_query": 1}},
        "layers24.perf_open": [perf_row("sentiment_fast", "imdb", None, rate) for rate in (2.0, 4.0)],
        "layers24.perf_lengths": [
            perf_row(m, x, 8, None) for x in ("short", "imdb", "worst") for m in ("padded", *names.OURS)
        ],
        "layers24.bulk": [{"model": "sentiment", "reviews": 10, "tokens": 1000, "seconds": [0.5]}],
    }
    for name, content in sections.items():
        made.put(name, content, run="2024-01-01 00:00", seconds=1.0)
    return made


def test_targets_are_ratios_of_the_right_contestants(store) -> None:
    store.put("shipped.load", [window(key, 1, 3.0, each) for key, (_, each) in SPEEDS.items()])
    targets = all_targets(Figures(store))
    wanted = [0.04 / 0.15, 0.04 / 0.15, 20 / 5, 20 / 6, 9 / 6, 4.0, 20 / 9]
    assert [target.measured for target in targets] == pytest.approx(wanted)
    assert [target.passed for target in targets] == [True, True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("vectors", "bounds"),
    [(["avx2"], [0.4, 1 / 3, 2.5, 3, 1.6, 10, 1.6]), (["avx2", "avx_vnni"], [1 / 3, 1 / 3, 4, 3, 1.6, 10])],
)
def test_a_processor_without_vnni_has_its_own_targets(store, vectors, bounds) -> None:
    store.describe_run(machine=MACHINE | {"vector_instructions": vectors})
    assert [target.bound for target in all_targets(Figures(store))] == bounds


def test_what_was_not_measured_is_no_pass(tmp_path) -> None:
    targets = all_targets(Figures(Store(tmp_path)))
    assert all(math.isnan(target.measured) and not target.passed for target in targets)


def test_share_of_the_limit_counts_useful_flops(store) -> None:
    figures = Figures(store)
    shares = {label: share for label, _, _, share in shares_of_limit(figures, "layers24")}
    flops = figures.mean_flops("layers24")
    assert shares["sentiment (fp32)"] == pytest.approx(9 * flops / 100e9)
    assert shares["in process: packed int8, 1 a run"] == pytest.approx(20 * flops / 400e9)


def test_report_has_targets_tables_and_plots_and_is_rendered_again_from_disk(store) -> None:
    path = render(store)
    first = path.read_text(encoding="utf-8")
    for expected in ("**miss**", "## Targets", "![", "| sentiment_fast (int8) |", "made-up texts"):
        assert expected in first
    pictures = ("latency_throughput.png", "text_length.png", "share_of_limit.png", "open_loop.png")
    assert all((path.parent / name).stat().st_size > 10_000 for name in pictures)
    render(Store(path.parent).load())
    assert path.read_text(encoding="utf-8") == first


def test_a_contestant_that_failed_has_a_row_that_says_why(store) -> None:
    rows = [row for row in store.get("layers24.load") if row["contestant"] != names.PADDED]
    why = {names.PADDED: "16 clients, round 1: it answered 500"}
    store.put("layers24.load", rows, run="2024-01-01 00:00", seconds=1.0, failed=why)
    shown = render(store).read_text(encoding="utf-8")
    assert "| padded ONNX on Triton (failed: 16 clients, round 1: it answered 500) | - | - |" in shown
    assert "| `layers24.load` | padded | 16 clients, round 1: it answered 500 |" in shown
    assert "| at least 3x | - | **not measured** | not measured |" in shown


def test_the_limits_stand_beside_the_instruction_set(store) -> None:
    assert limits_line(Figures(store)) == (
        "AVX2, int8 without VNNI (products in 16-bit steps), bf16 emulated in fp32. "
        "Limits of products, measured: fp32 100 GFLOP/s, bf16 200 GFLOP/s, int8 400 GOP/s."
    )


def test_two_runs_mark_what_swings(store, tmp_path) -> None:
    second = Store(tmp_path / "second")
    second.data = json.loads(json.dumps(store.data))
    changed = {names.SENTIMENT: 1.14, names.SENTIMENT_FAST: 0.8}
    for row in second.data["sections"]["layers24.load"]:
        row["reviews_per_second"] *= changed.get(row["contestant"], 1.0)
    shown = two_runs(Figures(store), Figures(second))
    assert "| sentiment (fp32) | 120 | 120 | 0% | 9 | 10.3 | 14% |" in shown
    assert "| sentiment_fast (int8) | 40 | 40 | 0% | 20 | 16 | 25% * |" in shown
    assert "`sentiment_fast` / the Flask app's best | 4x | 3.2x | 25% * |" in shown


def test_flask_table_compares_medians_and_quotes_the_published_row(store) -> None:
    rows = flask_table(Figures(store), "layers24").splitlines()
    assert rows[2].endswith("| 1.00x |")
    assert rows[3].endswith("| 2.50x |")
    assert "published, i7-8750H" in rows[4]


def test_excerpt_replaces_only_what_is_between_the_marks(tmp_path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    refresh_page(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_page_without_marks_is_left_alone(tmp_path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("words")
    refresh_page(page, "new\n")
    assert page.read_text() == "words"


def test_missing_raw_samples_say_what_to_run(tmp_path) -> None:
    with pytest.raises(BenchmarkError, match="python -m benchmarks"):
        Store(tmp_path).load()


def test_sections_are_on_disk_as_soon_as_they_are_put(tmp_path) -> None:
    store = Store(tmp_path)
    store.put("peak", {"fp32": 1}, seconds=2.0)
    assert json.loads((tmp_path / "raw.json").read_text())["sections"] == {"peak": {"fp32": 1}}
    assert [path.name for path in tmp_path.iterdir()] == ["raw.json"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1,234"),
        (12.345, "12.3"),
        (0.04567, "0.0457"),
        (float("nan"), "-"),
        (None, "-"),
        (25_000, "25,000"),
    ],
)
def test_numbers_are_readable(value, shown) -> None:
    assert cell(value) == shown


def test_markdown_table_has_a_row_a_row() -> None:
    assert table(["", "x"], [["a", 1]]).splitlines() == ["|  | x |", "| --- | ---: |", "| a | 1 |"]
