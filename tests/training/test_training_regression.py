"""Numbers as labels: read by row, learnt in their own unit, served as they were learnt."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import linregress
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from clients import SentimentClient
from export.checkpoint.reading import load_checkpoint
from export.steps import export_checkpoint
from serving.launcher import TritonServer
from tests.training.test_training_scripts import finetune_options, run, words
from training.data import DataError, Examples, ReadOptions, load_examples, split_examples
from training.model_card import model_card
from training.regression import Unit, evaluate_values
from training.student import new_student
from training.summary import summary_rows

OPTIONS = ReadOptions(regression=True)


def load(path: Path, labels: list[object], names: tuple[str, ...] = ()) -> Examples:
    rows = [{"text": f"text {row}", "stars": label} for row, label in enumerate(labels, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_examples(str(path), "text", "stars", names, options=OPTIONS)


def test_numbers_keep_their_values_and_the_columns_name(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.jsonl", [1, "2.5", -3e2])
    assert examples.names == ("stars",)
    assert examples.labels.tolist() == [[1.0], [2.5], [-300.0]]
    assert not examples.multi_label
    assert ("value stars", "-300 to 2.5, mean -98.8") in summary_rows(examples)


def test_lists_of_numbers_are_several_targets(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.jsonl", [[1, 0], [2, 5]])
    assert (examples.names, examples.labels.tolist()) == (("stars 0", "stars 1"), [[1, 0], [2, 5]])
    assert load(tmp_path / "a.jsonl", [[1, 0], [2, 5]], ("plot", "acting")).names == ("plot", "acting")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, "good"], "row 2: the label is 'good', not a number"),
        ([1, "3,5"], "row 2: the label is '3,5', not a number .with a point"),
        ([1, None], "row 2: the label is missing"),
        ([1, True], "row 2: the label is 'True', not a number"),
        ([1, "inf"], "row 2: the label is 'inf'"),
        ([[1, 2], [1]], "row 2: 1 numbers, where row 1 has 2"),
        ([4, 4.0], "stars is 4 in every row"),
    ],
)
def test_what_is_no_number_is_refused_by_row(tmp_path: Path, labels: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.jsonl", labels)


def test_every_tenth_of_the_values_is_held_out_alike() -> None:
    values = np.random.default_rng(0).permutation(200).astype(np.float32)[:, None]
    kept, held_out = split_examples(
        Examples([str(v) for v in values], values, ("stars",), regression=True), 0.25, seed=3
    )
    assert len(held_out.texts) == 50
    assert np.bincount(held_out.labels[:, 0].astype(int) // 20).tolist() == [5] * 10
    assert sorted([*kept.labels[:, 0], *held_out.labels[:, 0]]) == list(range(200))


def test_figures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    labels = random.normal(size=(100, 2)) * (1, 50)
    values = labels + random.normal(size=(100, 2)) * (0.5, 10)
    report = evaluate_values(values, labels, ("a", "b"))
    assert report["r2"]["value"] == pytest.approx(r2_score(labels, values))
    assert report["error"]["value"] == pytest.approx(root_mean_squared_error(labels.ravel(), values.ravel()))
    assert report["absolute_error"]["value"] == pytest.approx(mean_absolute_error(labels, values))
    assert report["r2"]["low"] < report["r2"]["value"] < report["r2"]["high"]
    card = model_card("t", "s", {"report": report, "data": {}, "commit": "c", "environment": {}}, {})
    assert "values.png" in card
    assert "confusion.png" not in card


def test_a_model_that_learnt_in_units_of_the_spread_answers_in_the_labels_own() -> None:
    labels = np.array([[100.0, 0.1], [300, 0.3], [500, 0.2]], np.float32)
    unit, model = Unit.of(labels), new_student(num_labels=2, depth=1, seed=0, vocab_size=50).eval()
    ids = torch.tensor([[2, 7, 9, 3]])
    with torch.no_grad():
        before = model(ids).logits.numpy()
        unit.restore(model.classifier)
        after = model(ids).logits.numpy()
    np.testing.assert_allclose(unit.standard(after), before, atol=1e-5)
    np.testing.assert_allclose(unit.standard(labels).std(axis=0), 1, atol=1e-5)


@pytest.mark.slow
def test_a_column_of_numbers_becomes_a_served_score(tmp_path: Path, base_model: Path) -> None:
    data = tmp_path / "reviews.jsonl"
    stars = [(number % 5, f"{'great ' * (number % 5)}film {number % 7}") for number in range(60)]
    data.write_text("".join(json.dumps({"review": text, "verdict": 20 * n}) + "\n" for n, text in stars))
    options = {**finetune_options(tmp_path, base_model, data), "epochs": 8, "patience": 8}
    done = run(*words(options), "--regression")
    assert done.returncode == 0, done.stderr
    assert "0 to 80, mean 40" in done.stdout
    report = json.loads((tmp_path / "checkpoint/metrics.json").read_text())["report"]
    assert report["r2"]["value"] > 0.5
    assert load_checkpoint(tmp_path / "checkpoint").config.labels == ("verdict",)
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "models", ["fp32"])
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(tmp_path / "models", **ports) as server, SentimentClient(server.http_url) as client:
        found = [each.score for each in client.classify([text for _, text in stars])]
    assert linregress([20 * n for n, _ in stars], found).rvalue > 0.7
    assert 20 < np.mean(found) < 60
