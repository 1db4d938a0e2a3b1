"""Comparing model repositories, live."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import compare
from benchmarks.load.closed_loop import LoadResult

app = compare.typer.Typer()
app.command()(compare.main)


def test_ratios_are_of_medians_and_against_the_first() -> None:
    def results(*tokens: int) -> list[LoadResult]:
        return [LoadResult(1, 2.0, [0.1, 0.3], each, 0.2) for each in tokens]

    found = {(8, "old"): results(100, 200, 900), (8, "new"): results(300, 500, 100)}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(compare.tabulate(found, "old"))
    rows = [line.split() for line in console.export_text().splitlines() if "old" in line or "new" in line]
    assert [cell for cell in rows[1] if cell in ("100", "1.00x")] == ["100", "1.00x"]
    assert [cell for cell in rows[2] if cell in ("150", "1.50x")] == ["150", "1.50x"]


def test_two_repositories_are_measured_by_turns(bench_repository: Path) -> None:
    arguments = [
        f"a={bench_repository}",
        f"b={bench_repository}",
        "--clients",
        "2",
        "--rounds",
        "1",
        "--window",
        "0.2",
    ]
    done = CliRunner().invoke(app, [*arguments, "--model", "sentiment", "--length", "short"])
    assert done.exit_code == 0, done.output
    assert "1.00x" in done.output


@pytest.mark.parametrize("wrong", [["folder"], ["a=x", "--clients", "many"], ["a=x", "--length", "huge"]])
def test_wrong_arguments_are_refused_with_the_remedy(wrong: list[str]) -> None:
    done = CliRunner().invoke(app, wrong)
    assert done.exit_code == 2
    assert "NAME=FOLDER" in done.output


def test_a_folder_without_models_is_told_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [f"a={tmp_path}"])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
