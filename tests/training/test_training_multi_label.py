"""Texts with several labels: what is measured, and a training from a column of lists to an export."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score

from clients import SentimentClient
from export.steps import export_checkpoint
from serving.launcher import TritonServer
from tests.training.test_training_scripts import finetune_options, run, words
from training.data import Examples, split_examples
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
def test_a_column_of_lists_becomes_a_served_model(tmp_path: Path, base_model: Path) -> None:
    words_of = {"acting": "great", "plot": "bad", "music": "best"}
    rows = [
        (" ".join(["film", *(words_of[name] for name in chosen), str(number)]), "|".join(chosen))
        for number in range(30)
        for chosen in ([], ["acting"], ["plot", "acting"], ["music", "plot"])
    ]
    data = tmp_path / "reviews.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("review", "verdict"), *rows])
    # 10 epochs learn this in float32, not always with bfloat16 products, which some processors have.
    options = {**finetune_options(tmp_path, base_model, data), "epochs": 20, "patience": 20}
    done = run(*words(options), "--label-separator", "|", "--class-weights", "balanced")
    assert done.returncode == 0, done.stderr
    assert "texts without a label" in done.stdout
    report = json.loads((tmp_path / "checkpoint" / "metrics.json").read_text())["report"]
    assert set(report["f1_by_label"]) == set(NAMES)
    assert "confusion.png" not in (tmp_path / "checkpoint" / "README.md").read_text()
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "models", ["fp32"])
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(tmp_path / "models", **ports) as server, SentimentClient(server.http_url) as client:
        assert client.labels() == tuple(sorted(NAMES))
        found = [set(each.labels or ()) for each in client.classify([text for text, _ in rows])]
    wanted = [set(filter(None, label.split("|"))) for _, label in rows]
    right = sum(left == right for left, right in zip(found, wanted, strict=True))
    assert right > 0.9 * len(rows)
    assert report["f1"]["value"] > 0.9
    done = run(
        *("check", "--checkpoint", str(tmp_path / "checkpoint"), "--data", str(data), "--precision", "fp32"),
        *("--text", "review", "--label", "verdict"),
        module="export",
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"accuracy +│ +{right / len(rows):.4f}", done.stdout)


def test_every_label_has_its_share_of_the_held_out_texts() -> None:
    random = np.random.default_rng(4)
    labels = (random.random((1000, 6)) < (0.5, 0.3, 0.1, 0.05, 0.02, 0.004)).astype(np.float32)
    examples = Examples([str(row) for row in range(1000)], labels, tuple("abcdef"))
    kept, held_out = split_examples(examples, 0.2, seed=1)
    assert abs(len(held_out.texts) - 200) <= 6
    shares = held_out.counts() / examples.counts()
    assert (np.abs(shares - 0.2) * examples.counts() <= 2).all(), shares
    assert held_out.counts().min() >= 1
    assert sorted(map(int, [*kept.texts, *held_out.texts])) == list(range(1000))
    again = split_examples(examples, 0.2, seed=1)[1]
    assert again.texts == held_out.texts
    assert split_examples(examples, 0.2, seed=2)[1].texts != held_out.texts


def test_a_label_of_one_text_is_trained_on_and_one_of_two_is_on_both_sides() -> None:
    labels = np.zeros((40, 3), np.float32)
    labels[:, 0] = 1
    labels[7, 1] = labels[11, 2] = labels[12, 2] = 1
    for seed in range(5):
        examples = Examples([str(row) for row in range(40)], labels, NAMES)
        kept, held_out = split_examples(examples, 0.1, seed)
        assert (kept.counts()[1], held_out.counts()[1]) == (1, 0)
        assert (kept.counts()[2], held_out.counts()[2]) == (1, 1)
        assert 3 <= len(held_out.texts) <= 5
