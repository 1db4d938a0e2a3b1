"""Label columns of multi-label models and regressions, and the gate's figures against scikit-learn's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error

from export.checkpoint.config import ModelConfig
from export.checkpoint.reading import Checkpoint
from export.errors import DataError
from export.gate.check import check
from export.gate.figures import violations
from export.gate.reference import Reference, graph_reference
from export.gate.samples import read_sample
from export.gate.truth import read_truth
from export.precision.fp32 import build_fp32

MULTI, REGRESSION = "multi_label_classification", "regression"
TEXTS = ("a great film", "not so bad", "the plot is bad and so is the end", "so good", "", "!? ... nothing")


def config(kind: str, labels: int = 3) -> ModelConfig:
    return ModelConfig(("acting", "plot", "music")[:labels], problem_type=kind)


def read(values: list[Any], kind: str, labels: int = 3) -> list[Any]:
    return read_truth(values, [f"row {i}" for i, _ in enumerate(values, 1)], config(kind, labels)).tolist()


@pytest.mark.parametrize(
    "value",
    [
        ["plot", "acting"],
        np.array(["acting", "plot"], object),
        "acting|plot",
        " plot | acting ",
        [1, 0],
        "0|1",
        '["acting", "plot"]',
        [1, "acting"],
    ],
)
def test_several_labels_are_read_however_they_are_written(value: Any) -> None:
    assert read([value], MULTI) == [[1, 1, 0]]


def test_a_text_may_have_no_label() -> None:
    assert read(["", [], "[]"], MULTI) == [[0, 0, 0]] * 3


def test_numbers_are_read_for_each_target() -> None:
    assert read(["3.5", 2, "-1e2", np.float32(0.5)], REGRESSION, 1) == [[3.5], [2.0], [-100.0], [0.5]]
    assert read([[1, 2.5, 3], "[0, 0, 1]"], REGRESSION) == [[1, 2.5, 3], [0, 0, 1]]


@pytest.mark.parametrize(
    ("value", "kind", "labels", "words"),
    [
        ("acting|plott", MULTI, 3, "row 1: label 'plott' is none of acting, plot, music"),
        ([3], MULTI, 3, "label 3 is none of"),
        ("good", REGRESSION, 1, "is 'good': it must be a number"),
        ("nan", REGRESSION, 1, "it must be a number"),
        ([1, 2], REGRESSION, 3, "it must be a list of 3 numbers"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_row(value: Any, kind: str, labels: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read([value], kind, labels)


def as_kind(checkpoint: Checkpoint, kind: str) -> Checkpoint:
    return replace(checkpoint, config=replace(checkpoint.config, problem_type=kind, threshold=0.4))


def test_decisions_of_a_multi_label_model_are_scored(checkpoint: Checkpoint, tmp_path: Path) -> None:
    names, random = checkpoint.config.labels, np.random.default_rng(0)
    truth = random.integers(0, 2, (len(TEXTS), 3))
    cells = [[names[i] for i in np.flatnonzero(row)] for row in truth]
    lines = [json.dumps({"text": text, "label": cell}) for text, cell in zip(TEXTS, cells, strict=True)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    pd.DataFrame({"text": TEXTS, "label": ["|".join(cell) for cell in cells]}).to_csv(tmp_path / "data.csv")
    model = as_kind(checkpoint, MULTI)
    for name in ("data.jsonl", "data.csv"):
        sample = read_sample(model, tmp_path / name)
        reference = graph_reference(model, sample)
        figures = check(build_fp32(model), "fp32", model, sample, reference).figures
        decided = 1 / (1 + np.exp(-reference.logits)) >= 0.4
        assert figures.f1 == pytest.approx(f1_score(truth, decided, average="micro"))
        assert figures.accuracy == pytest.approx(accuracy_score(truth, decided))
        assert (figures.f1_loss, figures.accuracy_loss, figures.error) == (0, 0, None)


def test_the_error_of_a_regression_is_measured_in_its_own_unit(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model, random = as_kind(checkpoint, REGRESSION), np.random.default_rng(1)
    stars = random.uniform(0, 100, (len(TEXTS), 3)).round(1)
    frame = pd.DataFrame({"text": TEXTS, "label": [json.dumps(row) for row in stars.tolist()]})
    frame.to_csv(tmp_path / "data.csv")
    sample = read_sample(model, tmp_path / "data.csv")
    reference = graph_reference(model, sample)
    figures = check(build_fp32(model), "fp32", model, sample, reference).figures
    assert figures.error == pytest.approx(mean_squared_error(stars, reference.logits) ** 0.5, rel=1e-5)
    assert figures.f1 is None
    assert violations(figures, "fp32") == []
    nearer = Reference(reference.logits + 0.9 * (stars - reference.logits), "a better model")
    worse = check(build_fp32(model), "int8", model, sample, nearer)
    assert "error_rise" in worse.violated
