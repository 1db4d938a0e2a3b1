import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.errors import BenchmarkError
from benchmarks.measure.machine import cpu_fields, describe, instruction_set, slug
from benchmarks.measure.peak import best_peak, measure_peaks
from benchmarks.measure.processes import cores_used, memory_mib, on_cores, wait_until
from benchmarks.run import everything
from benchmarks.run.sections import Sections
from benchmarks.run.settings import DEFAULT
from benchmarks.run.store import Store
from benchmarks.run.suite.load_curves import plan
from benchmarks.run.suite.perf import open_loop_cases
from benchmarks.run.suite.table import merge_blocks
from benchmarks.run.suite.tuning import candidates, choose
from benchmarks.servers.contestants import (
    FLASK_BEST,
    FLASK_BFLOAT16,
    FLASK_LATENCY,
    FLASK_RECOMMENDED,
    PADDED,
    PADDED_UNBATCHED,
    SENTIMENT_FAST,
)


def test_rounds_alternate_between_contestants() -> None:
    order = plan({1: 2, 16: 1}, ["a", "b"])
    assert order == [(0, 1, "a"), (0, 1, "b"), (0, 16, "a"), (0, 16, "b"), (1, 1, "a"), (1, 1, "b")]


def test_the_latency_setting_is_not_queued_up() -> None:
    levels = {
        level for _, level, key in plan({1: 1, 2: 1, 32: 1}, [FLASK_LATENCY, PADDED]) if key == FLASK_LATENCY
    }
    assert levels == {1, 2}


def test_what_no_target_is_read_from_is_measured_less_often() -> None:
    order = plan({1: 3, 16: 3}, [FLASK_RECOMMENDED, PADDED_UNBATCHED, SENTIMENT_FAST])
    counts = Counter((key, level) for _, level, key in order)
    assert counts[(SENTIMENT_FAST, 1)] == counts[(SENTIMENT_FAST, 16)] == counts[(FLASK_RECOMMENDED, 1)] == 3
    assert counts[(PADDED_UNBATCHED, 1)] == counts[(PADDED_UNBATCHED, 16)] == 2
    assert counts[(FLASK_RECOMMENDED, 16)] == 1


def test_every_candidate_but_the_recommended_one_fits_some_way_of_sharing_cores() -> None:
    grid = candidates(cores=4)
    assert (grid[0].workers, grid[0].torch_threads) == (8, 0)
    assert len({setting.label for setting in grid}) == 5


def test_the_best_settings_are_the_measured_ones() -> None:
    from dataclasses import asdict

    grid = candidates(cores=2)
    rows = [
        {"settings": asdict(grid[0]), "fast": False, "p50_ms": 300.0, "reviews_per_second": 4.0},
        {"settings": asdict(grid[1]), "fast": False, "p50_ms": 100.0, "reviews_per_second": 5.0},
        {"settings": asdict(grid[2]), "fast": False, "p50_ms": 200.0, "reviews_per_second": 9.0},
        {"settings": asdict(grid[4]), "fast": True, "p50_ms": 50.0, "reviews_per_second": 12.0},
    ]
    chosen = choose(rows, cores=2)
    assert chosen[FLASK_RECOMMENDED].settings == grid[0]
    assert chosen[FLASK_LATENCY].settings == grid[1]
    assert (chosen[FLASK_BEST].settings, chosen[FLASK_BEST].fast) == (grid[2], False)
    assert (chosen[FLASK_BFLOAT16].settings, chosen[FLASK_BFLOAT16].fast) == (grid[4], True)


def test_open_loop_offers_shares_of_the_capacity_over_both_protocols() -> None:
    cases = open_loop_cases(20.0, (0.5, 1.0))
    assert [(case.load.requests_per_second, case.protocol) for case in cases] == [
        (10.0, "http"),
        (10.0, "grpc"),
        (20.0, "http"),
        (20.0, "grpc"),
    ]
    assert {case.model for case in cases} == {SENTIMENT_FAST}


def test_blocks_of_one_query_are_joined() -> None:
    blocks = [
        {"params": {"query": "q", "contestant": who}, "stats": {"data": data}}
        for who, data in (("flask", [1.0]), ("sentiment", [3.0]), ("flask", [2.0]))
    ]
    assert merge_blocks({"benchmarks": blocks}) == {"q": {"flask": [1.0, 2.0], "sentiment": [3.0]}}


def test_unwanted_sections_come_from_the_store(tmp_path) -> None:
    store = Store(tmp_path)
    store.put("layers24.load", ["old"])
    sections = Sections(store, only=["table"])
    assert sections.measure("layers24.load", lambda: ["new"]) == ["old"]
    assert sections.measure("layers24.table", lambda: ["new"]) == ["new"]
    saved = json.loads(store.path.read_text())["sections"]
    assert saved == {"layers24.load": ["old"], "layers24.table": ["new"]}


def test_a_section_that_fails_costs_only_itself(tmp_path) -> None:
    sections = Sections(Store(tmp_path))
    assert sections.measure("layers24.load", lambda: 1 / 0) is None
    assert sections.measure("layers24.table", lambda: ["rows"]) == ["rows"]
    assert sections.failed == {"layers24.load": {"layers24.load": "division by zero"}}
    assert sections.store.data["measured"]["layers24.load"]["failed"] == sections.failed["layers24.load"]
    assert sections.store.data["measured"]["layers24.table"]["failed"] == {}


def test_a_failure_is_told_by_the_exit_code_after_the_report(tmp_path, monkeypatch) -> None:
    def run(checkpoint, settings, sections, show) -> None:
        sections.store.describe_run(machine=describe(), settings="quick", finished=True)
        sections.measure("peak", lambda: 1 / 0)

    monkeypatch.setattr(everything, "run_everything", run)
    done = CliRunner().invoke(app, ["--quick", "--results", str(tmp_path)])
    assert done.exit_code == 1
    assert "| `peak` | peak | division by zero |" in (tmp_path / "report.md").read_text()


def test_a_run_measures_the_sections_that_can_be_named(tmp_path, monkeypatch) -> None:
    class Names(Sections):
        def measure(self, name: str, function, *arguments, **options) -> None:
            measured.append(name)

    measured: list[str] = []
    monkeypatch.setattr(everything, "fetch", lambda: None)
    monkeypatch.setattr(everything, "prepare", lambda checkpoint: checkpoint)
    monkeypatch.setattr(everything, "deep_checkpoint", lambda checkpoint, progress: checkpoint)
    monkeypatch.setattr(everything.texts, "read_texts", lambda checkpoint, count: None)
    monkeypatch.setattr(everything, "open_arena", lambda *arguments: nullcontext())
    settings = replace(DEFAULT, rivals=True)
    everything.run_everything(tmp_path, settings, Names(Store(tmp_path)), lambda step: None)
    assert measured == list(everything.SECTIONS)


def test_a_section_that_does_not_exist_is_refused() -> None:
    everything.check_sections(["layers24.table", "bulk", "peak"])
    done = CliRunner().invoke(app, ["--section", "peak", "--section", "nothing"])
    assert done.exit_code == 1
    with pytest.raises(BenchmarkError, match="no section is called nothing; there are peak, flask_grid"):
        everything.check_sections(["peak", "nothing"])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["avx2"], "AVX2, int8 without VNNI (products in 16-bit steps), bf16 emulated in fp32"),
        (["avx2", "avx_vnni"], "AVX2, int8 with VNNI, bf16 emulated in fp32"),
        (
            ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"],
            "AVX-512, int8 with VNNI, bf16 in hardware",
        ),
    ],
)
def test_instruction_sets_say_what_int8_and_bf16_run_on(flags, told) -> None:
    assert instruction_set(flags) == told


def test_machine_is_named_by_its_processor_only() -> None:
    import socket

    name = slug(describe())
    assert socket.gethostname().lower() not in name
    assert name.endswith("cores")
    fields = cpu_fields("model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu family : 6\n\nmodel name : other")
    assert fields == {"model name": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cpu family": "6"}
    assert slug({"cpu": fields["model name"], "cpu_family": 6, "cpu_model": 85, "cores": 4}) == (
        "intel-xeon-family6-model85-4-cores"
    )


def test_children_get_the_wanted_cores_and_the_parent_keeps_its_own() -> None:
    import os
    import subprocess
    import sys

    before = os.sched_getaffinity(0)
    script = "import os; print(len(os.sched_getaffinity(0)))"
    with on_cores(1):
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "1"
    assert os.sched_getaffinity(0) == before
    with pytest.raises(BenchmarkError, match="cores are wanted"), on_cores(10_000):
        pass


def test_a_dead_process_uses_nothing_and_is_reported() -> None:
    assert memory_mib(2**22 + 1) == 0
    assert cores_used(2**22 + 1, 0.01) == 0
    with pytest.raises(BenchmarkError, match="the thing ended"):
        wait_until(lambda: False, lambda: False, 1, "the thing")


def test_peaks_of_all_precisions_are_positive() -> None:
    peaks = measure_peaks(cores=1, seconds=0.02)
    assert all(best_peak(peaks, precision) > 0 for precision in ("fp32", "bf16", "int8"))
