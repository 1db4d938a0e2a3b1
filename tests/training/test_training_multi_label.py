"""Texts with several labels: what is measured, and a training from a column of lists to an export."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score

from export.checkpoint import load_checkpoint
from tests.training.test_training_scripts import finetune_options, run, words
from training.metrics import evaluate, scored

NAMES = ("acting", "plot", "music")


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Logits and 0/1 labels of 300 texts that agree more often than not."""
    random = np.random.default_rng(3)
    labels = (random.random((300, 3)) < (0.2, 0.5, 0.7)).astype(np.float32)
    return random.normal(size=(300, 3)) * 2 + 3 * labels - 1.5, labels


def test_figures_are_those_of_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = scores
    report = evaluate(logits, labels, np.full(300, 12), NAMES)
    predicted = expit(logits) >= 0.5
    assert report["f1"]["value"] == pytest.approx(f1_score(labels, predicted, average="micro"))
    assert report["accuracy"]["value"] == pytest.approx(accuracy_score(labels, predicted))
    wanted = f1_score(labels, predicted, average=None)
    assert report["f1_by_label"] == pytest.approx(dict(zip(NAMES, wanted, strict=True)))
    assert report["accuracy_by_length"][0]["accuracy"] == report["accuracy"]["value"]
    assert "confusion" not in report
    assert report["f1"]["low"] < report["f1"]["value"] < report["f1"]["high"]


def test_every_decision_counts_in_calibration(scores: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = scored(*scores)
    assert probabilities.shape == (900, 2)
    brier = brier_score_loss(scores[1].reshape(-1), expit(scores[0]).reshape(-1))
    assert np.mean((probabilities[:, 1] - truth) ** 2) == pytest.approx(brier)


@pytest.mark.slow
def test_a_column_of_lists_becomes_a_checkpoint_that_export_takes(tmp_path: Path, base_model: Path) -> None:
    rows = [
        {"review": f"the {' and the '.join(chosen) or 'film'} {number}", "verdict": chosen}
        for number in range(12)
        for chosen in ([], ["acting"], ["plot", "acting"], ["music", "plot"])
    ]
    data = tmp_path / "reviews.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(*words(finetune_options(tmp_path, base_model, data)))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "checkpoint" / "metrics.json").read_text())["report"]
    assert set(report["f1_by_label"]) == set(NAMES)
    config = load_checkpoint(tmp_path / "checkpoint").config
    assert config.problem_type == "multi_label_classification"
    assert sorted(config.labels) == sorted(NAMES)
    assert "confusion.png" not in (tmp_path / "checkpoint" / "README.md").read_text()
