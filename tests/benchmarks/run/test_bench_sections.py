"""Every section of a run, in seconds: that it measures what it says, never how fast that is."""

import pytest

from benchmarks.perf_analyzer.fetch import missing_library
from benchmarks.run.everything import _facts
from benchmarks.run.sections import Sections
from benchmarks.run.store import Store
from benchmarks.run.suite import alone, idle, in_process, layers, load_curves, perf, scale, table
from benchmarks.run.suite.tuning import default_choices
from benchmarks.servers import contestants as names


def test_every_contestant_is_loaded_at_every_level(stage, arena) -> None:
    rows = load_curves.measure_load(stage, arena, {1: 1, 4: 1})
    measured = {(row["contestant"], row["concurrency"]) for row in rows}
    assert {(names.FLASK_BEST, 4), (names.SENTIMENT_FAST, 4), (names.PADDED, 1)} <= measured
    assert all(row["latencies"] and row["tokens"] > 0 for row in rows)


def test_table_runs_by_pytest_benchmark_with_all_queries(stage, arena) -> None:
    measured = table.measure_table(stage, arena)
    assert set(measured["rounds"]) == set(table.QUERIES)
    assert len(measured["rounds"]["positive_query"]["flask"]) == stage.settings.table_rounds
    assert len(measured["rounds"]["all_queries_on_batch_endpoint"]["sentiment_fast"]) == 1
    assert measured["sizes"]["all_queries_on_basic_endpoint"] == 3


def test_layers_of_a_live_server_add_up(stage, arena, monkeypatch) -> None:
    monkeypatch.setattr(layers, "COUNTED", 2.0)
    for parts in layers.measure_layers(stage, arena).values():
        inside = sum(parts["tokenizer"].values()) + sum(parts["model"].values())
        assert 0 < inside <= parts["latency"] * 1.5
        assert parts["outside_runs"] < 1


def test_batches_larger_than_the_padded_rival_takes_are_not_sent_to_it(stage, arena) -> None:
    rows = scale.measure_batch_sizes(stage, arena)
    assert {row["rows"] for row in rows if row["contestant"] == names.PADDED} == {1}
    assert {row["rows"] for row in rows if row["contestant"] == names.SENTIMENT} == {1, 16}


def test_bulk_goes_through_the_client_for_every_size(stage, arena, monkeypatch) -> None:
    monkeypatch.setattr(scale, "bulk_reviews", lambda checkpoint, count: stage.reviews[:count])
    rows = scale.measure_bulk(stage, arena, (1, 12))
    assert [(row["model"], row["reviews"]) for row in rows] == [(m, n) for n in (1, 12) for m in names.OURS]


def test_idle_servers_are_measured_once_each(stage, arena) -> None:
    assert len(idle.measure_idle(arena, seconds=0.1)) == 2


def test_runners_in_process_answer_all_reviews(stage) -> None:
    rows = in_process.measure_in_process(stage, cores=1)
    assert {row["reviews"] for row in rows} == {8}
    assert {(row["runner"], row["rows"]) for row in rows} >= {("packed int8", 8), ("torch fp32", 1)}


def test_perf_analyzer_measures_a_case(stage, arena) -> None:
    if problem := missing_library():
        pytest.skip(problem)
    (row,) = perf.measure_cases(stage, arena, [perf.Case("sentiment_fast", perf.Load(concurrency=2))])
    assert row["model"] == "sentiment_fast"
    assert row["latencies"]


def test_a_server_alone_starts_answers_and_is_gone(stage) -> None:
    row = alone._measure(stage, names.SENTIMENT, None, cores=1)
    assert row["seconds_to_first_answer"] > 0
    assert row["memory_mib_after_load"] > 50
    assert set(default_choices(2)) == {*names.FLASK, names.FLASK_BFLOAT16}


def test_facts_of_a_checkpoint_are_enough_for_the_report(stage, tmp_path) -> None:
    from benchmarks.report.figures import Figures

    store = Store(tmp_path)
    Sections(store).measure("shipped", _facts, stage)
    assert Figures(store).mean_flops("shipped") > 1e6
