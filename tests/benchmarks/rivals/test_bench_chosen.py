"""Servers that people choose instead: the real ones where their environments are built."""

from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.paths import ROOT
from benchmarks.rivals import environments
from benchmarks.rivals.chosen import RIVALS, Setting
from benchmarks.run.suite.load_curves import plan
from benchmarks.run.suite.rival_grid import choose_rivals
from benchmarks.servers import contestants as names
from benchmarks.servers.arena import RivalChoice


def row(rival: str, setting: Setting, speed: float) -> dict:
    figures = {"p50_ms": 1.0, "reviews_per_second": speed}
    return {"rival": rival, "setting": asdict(setting), "label": setting.label, **figures}


def test_every_rival_has_names_for_tables_and_few_enough_windows() -> None:
    keys = {*RIVALS, *map(names.tuned, RIVALS)}
    assert keys <= names.LABELS.keys()
    assert {level for _, level, _ in plan({1: 1, 8: 1, 16: 1}, keys)} == {1, 16}


@pytest.mark.parametrize("name", RIVALS)
def test_a_search_begins_with_the_documented_setting(name: str) -> None:
    candidates = RIVALS[name].candidates(2)
    assert candidates[0] == RIVALS[name].documented
    assert len(set(candidates)) == len(candidates) >= 3


def test_the_best_setting_is_the_measured_one_and_who_failed_is_left_out() -> None:
    documented, other = RIVALS["litserve"].documented, Setting(2, 1, 1)
    rows = [row("litserve", documented, 3.0), row("litserve", other, 5.0)]
    rows += [row("bentoml", RIVALS["bentoml"].documented, 4.0)]
    assert choose_rivals(rows) == {
        "litserve": RivalChoice("litserve", documented),
        "litserve_tuned": RivalChoice("litserve", other),
        "bentoml": RivalChoice("bentoml", RIVALS["bentoml"].documented),
    }


def test_what_does_not_install_says_so_in_a_line(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "requirements" / "rivals").mkdir(parents=True)
    (tmp_path / "requirements" / "rivals" / "nothing.txt").write_text("./no-such-package\n")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    with pytest.raises(BenchmarkError, match="nothing does not install here: ERROR") as failure:
        environments.environment("nothing")
    assert "\n" not in str(failure.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_gives_torchs_labels(
    name: str, bench_checkpoint, bench_repository, texts, torch_labels
) -> None:
    if not (ROOT / ".venv" / f"rival-{RIVALS[name].environment}").is_dir():
        pytest.skip("its environment takes gigabytes: `make bench BENCH_ARGS=--rivals` builds it")
    choice = RivalChoice(name, RIVALS[name].documented)
    with choice.server(bench_checkpoint, bench_repository) as server:
        assert [server.caller([text])[0] for text in texts] == torch_labels
