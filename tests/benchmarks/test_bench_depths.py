"""`benchmarks.depths`: each student with its own score and its own speed."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from rich.console import Console

from benchmarks import depths
from tests.synthetic import write_checkpoint


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Students of one layer and of six, with what `training.distill` writes of their held-out texts."""
    found = []
    for layers, score in ((1, 0.91), (6, 0.93)):
        folder = write_checkpoint(tmp_path / f"depth{layers}", layers=layers)
        metrics = {"held_out": {"f1": score, "texts": 2000}}
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        found.append(folder)
    return found


def test_each_student_has_its_score_and_a_deeper_one_is_slower(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "console", Console(width=150, record=True))
    depths.main(folders, rounds=2, plot=tmp_path / "plot.png")
    printed = depths.console.export_text()
    # A clock that shows the graph's size: a deeper student's seconds must be its own.
    monkeypatch.setattr(depths, "open_session", lambda model: model)
    ticks = [0]
    monkeypatch.setattr(depths, "time", SimpleNamespace(perf_counter=lambda: sum(ticks)))
    monkeypatch.setattr(
        depths, "run_rows", lambda model, rows: ticks.append(len(rows) * len(model.graph.node))
    )
    one, six = depths.measure(folders, 3)
    assert (one.layers, one.f1, six.layers, six.f1) == (1, 0.91, 6, 0.93)
    assert one.error == pytest.approx((0.91 * 0.09 / 2000) ** 0.5)
    assert one.batch.shape == six.lone.shape == (3,)
    assert 2 * one.batch.sum() < six.batch.sum()
    assert one.batch[0] > one.lone[0]
    assert all(each in printed for each in ("depth1", "0.9100", "0.9300"))
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_checkpoint_without_held_out_figures_is_one_line(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders[1] / "metrics.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(depths, "console", Console(width=300, record=True))
    with pytest.raises(typer.Exit):
        depths.main(folders, rounds=1)
    assert "has no held_out: train with" in depths.console.export_text()
