"""The command: what it writes, what it refuses, how it ends."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from bulk import Scorer
from bulk.cli import app
from bulk.command import held
from bulk.places import open_place
from tests.bulk.commands import ROOT, bulk, command, reviews, scored, write_parquet

TEXTS = reviews(50)


@pytest.fixture
def score(published_repository: Path) -> Any:
    """Runs the command in this process."""

    def run(*arguments: object) -> Result:
        fixed = ("--text-column", "review", "--model", "sentiment", "--repository", published_repository)
        line = ["score", *map(str, (*arguments, *fixed, "--workers", 1))]
        return CliRunner().invoke(app, line, catch_exceptions=False)

    return run


def one_line(result: Result) -> str:
    """Its error: a single line."""
    assert result.exit_code == 1, result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    return line


def test_rows_come_back_in_order_with_answers_and_the_model_in_the_footer(
    score: Any, scorer: Scorer, tmp_path: Path
) -> None:
    source = write_parquet(tmp_path / "in.parquet", [*TEXTS, None], row_group_size=20)
    result = score(source, "--output", tmp_path / "out", "--unit-rows", 15)
    assert result.exit_code == 3, result.stderr
    assert "51 rows in" in result.stderr
    rows, answers = scored(tmp_path / "out"), scorer(TEXTS)
    assert [row["id"] for row in rows] == list(range(51))
    assert [row["review"] for row in rows] == [*TEXTS, None]
    assert [row["label"] for row in rows[:-1]] == list(answers.label)
    assert np.allclose([row["probabilities"] for row in rows[:-1]], answers.probabilities, atol=1e-5)
    assert rows[-1]["error"] == "the text is null"
    parts = sorted((tmp_path / "out").glob("*.parquet"))
    assert len(parts) == 5  # of row groups of 20, 20 and 11
    metadata = pq.read_schema(parts[0]).metadata
    assert metadata[b"model"] == b"sentiment"
    assert metadata[b"model_version"] == b"1"
    assert metadata[b"network_sha256"].decode() == scorer.model.sha256


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_output_may_be_csv_or_json_lines(form: str, score: Any, scorer: Scorer, tmp_path: Path) -> None:
    lines = [{"review": text, "label": 3, "more": {"a": [number]}} for number, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{}\n")
    result = score(tmp_path / "in.jsonl", "--output", tmp_path / "out", "--format", form)
    assert result.exit_code == 3, result.stderr
    (part,) = (tmp_path / "out").glob(f"*.{form}")
    answers = scorer(TEXTS)
    if form == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(part.open(newline="")))
        rows = [{**row, "more": json.loads(row["more"] or "null")} for row in rows]
        assert np.allclose(
            [json.loads(row["probabilities"]) for row in rows[:-1]], answers.probabilities, atol=1e-5
        )
    else:
        rows = [json.loads(line) for line in part.read_text().splitlines()]
    assert [row["more"] for row in rows[:-1]] == [line["more"] for line in lines]
    assert [str(row["label"]) for row in rows[:-1]] == ["3"] * len(TEXTS)  # the input's own
    assert [row["label_answer"] for row in rows[:-1]] == list(answers.label)
    assert rows[-1]["error"] == "the text is null"


def test_partitions_folders_and_globs_are_kept(score: Any, tmp_path: Path) -> None:
    days = ("2026-01-01", "2026-01-02")
    for day in days:
        write_parquet(tmp_path / f"in/day={day}/a.parquet", [f"good {day}"] * 3)
        write_parquet(tmp_path / f"in/day={day}/b.parquet", [f"bad {day}"] * 2)
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "in" / "notes.txt").write_text("none of ours")
    write_parquet(tmp_path / "in" / "_old" / "c.parquet", ["hidden"])
    assert score(tmp_path / "in", "--output", tmp_path / "all").exit_code == 0
    found = ds.dataset(tmp_path / "all", partitioning="hive").to_table().to_pylist()
    assert sorted((row["day"], row["review"]) for row in found) == sorted(
        (day, f"{word} {day}") for day in days for word in ["good"] * 3 + ["bad"] * 2
    )
    assert score(tmp_path / "in/day=*/a.parquet", "--output", tmp_path / "some").exit_code == 0
    assert {row["review"] for row in scored(tmp_path / "some")} == {f"good {day}" for day in days}
    same = one_line(
        score(*(tmp_path / f"in/day={day}/a.parquet" for day in days), "--output", tmp_path / "x")
    )
    assert "would both become a.parquet" in same


def test_the_same_command_again_has_nothing_to_do(score: Any, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", [*TEXTS, None])
    arguments = (source, "--output", tmp_path / "out", "--unit-rows", 10)
    assert score(*arguments).exit_code == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    again = score(*arguments)
    assert again.exit_code == 3, "errors of rows that are done already still count"
    assert "51 rows are done already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == before


def test_what_has_changed_is_refused_and_restart_begins_anew(
    score: Any, published_repository: Path, tmp_path: Path
) -> None:
    source = write_parquet(tmp_path / "in" / "a.parquet", TEXTS)
    arguments = (tmp_path / "in", "--output", tmp_path / "out")
    assert score(*arguments).exit_code == 0
    assert "begun with unit_rows 16384, not 7" in one_line(score(*arguments, "--unit-rows", 7))
    assert "begun with format 'parquet', not 'csv'" in one_line(score(*arguments, "--format", "csv"))
    write_parquet(tmp_path / "in" / "b.parquet", TEXTS)
    assert "b.parquet is new" in one_line(score(*arguments))
    (tmp_path / "in" / "b.parquet").unlink()
    write_parquet(source, TEXTS[:20])
    assert "a.parquet has changed since this run began" in one_line(score(*arguments))
    (tmp_path / "out" / "mine.txt").touch()
    assert score(*arguments, "--restart", "--unit-rows", 7).exit_code == 1, "there is a foreign file"
    (tmp_path / "out" / "mine.txt").unlink()
    assert score(*arguments, "--restart", "--unit-rows", 7).exit_code == 0
    assert [row["review"] for row in scored(tmp_path / "out")] == TEXTS[:20]


def test_another_model_is_refused(score: Any, published_repository: Path, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", TEXTS[:3])
    assert score(source, "--output", tmp_path / "out").exit_code == 0
    manifest = tmp_path / "out" / "_bulk" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"model_version": "1"', '"model_version": "2"'))
    assert "begun with model_version '2', not '1'" in one_line(score(source, "--output", tmp_path / "out"))


def test_a_touched_text_file_is_the_same_and_an_edited_one_is_not(score: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("review\ngood\nbad\n")
    assert score(source, "--output", tmp_path / "out").exit_code == 0
    os.utime(source, (1, 1))
    assert score(source, "--output", tmp_path / "out").exit_code == 0
    source.write_text("review\ngood\nsad\n")
    assert "has changed" in one_line(score(source, "--output", tmp_path / "out"))


def test_bad_files_are_named_and_the_others_go_on(score: Any, tmp_path: Path) -> None:
    good = write_parquet(tmp_path / "in" / "b.parquet", TEXTS)
    (tmp_path / "in" / "a.parquet").write_bytes(b"noise")
    (tmp_path / "in" / "c.csv").write_text("text\nno such column\n")
    whole = bytearray(good.read_bytes())
    whole[60:200] = bytes(140)  # its footer is well, its pages are not
    (tmp_path / "in" / "d.parquet").write_bytes(whole)
    result = score(tmp_path / "in", "--output", tmp_path / "out")
    assert result.exit_code == 4
    for name in (
        "a.parquet can't be read as parquet",
        "c.csv has no column 'review'",
        "d.parquet can't be read",
    ):
        assert name in result.stderr
    assert [row["review"] for row in scored(tmp_path / "out")] == TEXTS
    (tmp_path / "in" / "c.csv").write_text("review\nmended\n")
    write_parquet(tmp_path / "in" / "a.parquet", ["mended, too"])
    (tmp_path / "in" / "d.parquet").unlink()
    assert "d.parquet is missing" in one_line(score(tmp_path / "in", "--output", tmp_path / "out"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "there are no rows"),
        ("review\n", "there are no rows"),
        ("text\ngood\n", "has no column 'review'; it has 'text'"),
    ],
)
def test_an_input_without_rows_or_column_is_a_sentence(
    content: str, sentence: str, score: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert sentence in one_line(score(tmp_path / "a.csv", "--output", tmp_path / "out"))


def test_what_can_t_be_is_a_sentence(score: Any, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in" / "a.parquet", TEXTS)
    assert "there is no" in one_line(score(tmp_path / "nothing", "--output", tmp_path / "out"))
    assert "ends in none of" in one_line(score(__file__, "--output", tmp_path / "out"))
    assert "lies among the inputs" in one_line(score(tmp_path / "in", "--output", tmp_path / "in"))
    assert "holds files of something else" in one_line(score(source, "--output", tmp_path / "in2" / ".."))
    assert "it can be parquet, csv, jsonl" in one_line(
        score(source, "--output", tmp_path / "o", "--format", "x")
    )
    assert "can't be written" in one_line(score(source, "--output", "/proc/scored"))
    assert "can't be opened" in one_line(score("nosuch://a/b.parquet", "--output", tmp_path / "out"))


def test_a_full_disk_is_a_sentence_and_the_run_goes_on_later(
    published_repository: Path, tmp_path: Path
) -> None:
    source = write_parquet(tmp_path / "a.parquet", reviews(400))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))"
    line = command(published_repository, source, "--output", tmp_path / "out", "--workers", 1)
    script = (
        f"{limit}; import signal, runpy, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"sys.argv = {['bulk', *line[3:]]!r}; runpy.run_module('bulk', run_name='__main__')"
    )
    full = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert full.returncode == 1, full.stderr
    assert "File too large; what is done is kept" in full.stderr.replace("\n", " ")
    assert "Traceback" not in full.stderr
    assert bulk(published_repository, source, "--output", tmp_path / "out").returncode == 0
    assert [row["review"] for row in scored(tmp_path / "out")] == reviews(400)


def test_a_run_removes_what_its_dead_workers_leave_and_nothing_else(tmp_path: Path) -> None:
    with held(open_place(str(tmp_path))):
        for name in (".123-4.part-0.parquet", ".123-456.part-1.csv", "part-2.parquet", ".hidden-3", ".git"):
            (tmp_path / name).touch()
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"part-2.parquet", ".hidden-3", ".git"}


def test_two_runs_do_not_write_to_one_folder(score: Any, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", TEXTS)
    with held(open_place(str(tmp_path / "out"))):
        assert "another run writes" in one_line(score(source, "--output", tmp_path / "out"))


def test_texts_of_a_dictionary_column_keep_their_type(score: Any, tmp_path: Path) -> None:
    column = pa.array(["good", "bad", "good"]).dictionary_encode()
    pq.write_table(pa.table({"review": column}), tmp_path / "a.parquet")
    assert score(tmp_path / "a.parquet", "--output", tmp_path / "out").exit_code == 0
    assert [row["review"] for row in scored(tmp_path / "out")] == ["good", "bad", "good"]
