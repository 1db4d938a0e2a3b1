"""Servers that people choose instead: the real ones where their environments are built."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load.texts import Encoder
from benchmarks.paths import ROOT, SHIPPED_CHECKPOINT
from benchmarks.rivals import environments
from benchmarks.rivals.chosen import RIVALS, Setting
from benchmarks.run.everything import deep_checkpoint
from benchmarks.run.suite.load_curves import plan
from benchmarks.run.suite.rival_grid import choose_rivals
from benchmarks.servers import contestants as names
from benchmarks.servers.arena import RivalChoice
from benchmarks.servers.repository import prepare
from export.checkpoint.reading import GOLDEN_FILE


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


@pytest.fixture(scope="module", params=RIVALS)
def rival(request) -> str:
    """One whose environment is there."""
    if not (ROOT / ".venv" / f"rival-{RIVALS[request.param].environment}").is_dir():
        pytest.skip("its environment takes gigabytes: `make bench BENCH_ARGS=--rivals` builds it")
    return request.param


@pytest.fixture(scope="module", params=["2 random layers", "the shipped model", "24 random layers"])
def served(request) -> tuple[Path, Path, dict[str, str]]:
    """A checkpoint, a repository with its padded graph, and the labels that rivals must give."""
    if request.param == "2 random layers":
        made = ("bench_checkpoint", "bench_repository")
        checkpoint, repository = map(request.getfixturevalue, made)
    else:
        deep = request.param == "24 random layers"
        checkpoint = deep_checkpoint(SHIPPED_CHECKPOINT, print) if deep else SHIPPED_CHECKPOINT
        repository = prepare(checkpoint)
    lines = (SHIPPED_CHECKPOINT / GOLDEN_FILE).read_text(encoding="utf-8").splitlines()
    cut = Encoder(checkpoint).cut([json.loads(line)["text"] for line in lines])
    return checkpoint, repository, labels_that_torch_is_sure_of(checkpoint, [text for text, _ in cut])


def labels_that_torch_is_sure_of(checkpoint: Path, texts: list[str]) -> dict[str, str]:
    """Each text alone: MobileBERT sees the token after a text's last one, so padding moves its logits."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    with torch.inference_mode():
        logits = {text: model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts}
    sure = {text: each for text, each in logits.items() if text and (each[1] - each[0]).abs() > 1}
    return {text: model.config.id2label[int(each.argmax())] for text, each in sure.items()}


@pytest.mark.slow
def test_a_rival_gives_torchs_labels_alone_and_in_a_crowd(rival: str, served) -> None:
    checkpoint, repository, wanted = served
    assert len(wanted) >= 8
    assert len(set(wanted.values())) == 2
    with (
        RivalChoice(rival, RIVALS[rival].documented).server(checkpoint, repository) as server,
        ThreadPoolExecutor(16) as clients,
    ):
        assert {text: server.caller([text])[0] for text in wanted} == wanted
        crowd = clients.map(lambda text: server.caller([text])[0], wanted)
        assert dict(zip(wanted, crowd, strict=True)) == wanted


@pytest.mark.slow
def test_a_rival_serves_at_every_setting_of_the_search(
    rival: str, bench_checkpoint, bench_repository
) -> None:
    for setting in RIVALS[rival].candidates(2):
        with RivalChoice(rival, setting).server(bench_checkpoint, bench_repository) as server:
            assert server.caller(["good film"])[0] in ("negative", "positive"), setting.label
