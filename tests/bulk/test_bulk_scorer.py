"""The scorer, beside the live server and its client."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bulk import BulkError, Scorer, find_model
from clients import SentimentClient
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from export.publishing.seeding import seed_configs
from serving.launcher import TritonServer
from tests.bulk.commands import reviews
from tests.synthetic import write_checkpoint


def test_it_answers_what_the_server_answers(scorer: Scorer, server: TritonServer) -> None:
    texts = [*reviews(40), "", "good " * 700, "bad " * 5000, "Zürich 東京 🎬"]
    scores = scorer(texts)
    with SentimentClient(server.http_url) as client:
        asked = client.classify(texts)
    assert list(scores.label) == [each.label for each in asked]
    assert list(scores.num_tokens) == [each.num_tokens for each in asked]
    assert list(scores.truncated) == [each.truncated for each in asked]
    assert np.allclose(scores.probabilities, [each.probabilities for each in asked], atol=1e-5)
    assert np.allclose(scores.score, [each.score for each in asked], atol=1e-5)
    assert scores.truncated.any()
    assert len(set(scores.label)) == 2


def test_a_text_s_answer_does_not_depend_on_its_company(scorer: Scorer) -> None:
    texts = reviews(30)
    together = scorer(texts)
    alone = np.concatenate([scorer([text]).probabilities for text in texts])
    assert np.allclose(together.probabilities, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "null"),
        (3.5, "not a string but a number"),
        ({"a": 1}, "not a string but an object"),
        (b"caf\xe9", "not valid UTF-8 at byte 3"),
        ("\ud800", "not valid Unicode"),
        ("a" * ((1 << 20) + 1), "more than the limit of 1048576"),
    ],
)
def test_a_bad_text_costs_only_itself(scorer: Scorer, bad: object, reason: str) -> None:
    scores = scorer(["good film", bad, b"bad film"])
    assert scores.errors == 1
    assert reason in scores.error[1]
    assert np.allclose(
        scores.probabilities[[0, 2]], scorer(["good film", "bad film"]).probabilities, atol=1e-5
    )
    columns = scorer.model.answer.columns(scores)
    assert [column[1].as_py() for column in columns[:-1]] == [None] * 5


def test_no_texts_are_no_rows(scorer: Scorer) -> None:
    assert len(scorer([])) == 0
    assert scorer([None]).errors == 1


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_other_kinds_of_models_have_their_own_columns(kind: str, tmp_path: Path, scorer: Scorer) -> None:
    checkpoint = load_checkpoint(write_checkpoint(tmp_path / "checkpoint", labels=3, problem_type=kind))
    publish(checkpoint, tmp_path / "models", {"mobilebert_fp32": build_fp32(checkpoint)})
    model = find_model(tmp_path / "models", "sentiment")
    scores = Scorer(model)(reviews(4))
    table = pa.table(model.answer.columns(scores), pa.schema(model.answer.fields()))
    values = table["values" if kind == "regression" else "probabilities"].to_pylist()
    assert np.allclose([max(row) for row in values], table["score"].to_pylist())
    assert ("labels" in table.column_names) == (kind != "regression")
    if kind != "regression":
        names = ["negative", "positive", "neutral"]
        above = [[name for name, value in zip(names, row, strict=True) if value >= 0.5] for row in values]
        assert table["labels"].to_pylist() == above


def test_what_is_not_there_is_said_in_a_sentence(published_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(BulkError, match=r"has no model 'positive'; it has .*sentiment"):
        find_model(published_repository, "positive")
    seed_configs(tmp_path / "models")
    with pytest.raises(BulkError, match="run `make export`"):
        find_model(tmp_path / "models", "sentiment")
    with pytest.raises(BulkError, match="does not map a text to a label"):
        find_model(published_repository, "mobilebert_fp32")


def test_another_file_than_the_one_that_was_found_is_refused(
    published_repository: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(published_repository, copy)
    model = find_model(copy, "sentiment")
    model.path.write_bytes(model.path.read_bytes() + b" ")
    with pytest.raises(BulkError, match="is not the model of this run"):
        Scorer(model)
