"""The gate: it passes what it should, fails each kind of broken model, and says where that goes wrong."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as sklearn_f1

from export.checkpoint.reading import Checkpoint
from export.cli import main
from export.errors import DataError, GateError
from export.gate.check import Report, check, check_golden
from export.gate.figures import limit, measure, violations
from export.gate.reference import golden_reference, graph_reference, reference_logits
from export.gate.samples import golden_sample, read_sample
from export.gate.scores import accuracy, f1_score
from export.graph.running import open_session
from export.precision import registry
from export.precision.fp32 import build_fp32
from export.steps import export_checkpoint
from tests.export.oracle import torch_logits, torch_model

TEXTS = ("a great film", "not so bad", "the plot is bad and so is the end", "so good", "", "!? ... nothing")


@pytest.fixture
def model(checkpoint: Checkpoint) -> ModelProto:
    return build_fp32(checkpoint)


def edit(model: ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> ModelProto:
    """Change one constant of the graph."""
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))
    return model


def gate(model: ModelProto, checkpoint: Checkpoint) -> Report:
    report = check_golden(model, "fp32", checkpoint)
    assert report is not None
    return report


def test_the_exported_graph_passes(model: ModelProto, checkpoint: Checkpoint) -> None:
    report = gate(model, checkpoint)
    assert report.violated == ()
    assert report.figures.texts == len(checkpoint.golden)


def test_a_wrong_weight_fails_and_its_product_is_named(model: ModelProto, checkpoint: Checkpoint) -> None:
    def bump(weight: np.ndarray) -> np.ndarray:
        weight[3, 5] += 0.5
        return weight

    report = gate(edit(model, "layer1.ffn0.out.weight", bump), checkpoint)
    assert "max_logit_difference" in report.violated
    assert "tensor layer1.ffn0.out " in report.explanation
    assert "golden text 'text " in report.explanation


def test_swapped_label_names_fail(model: ModelProto, checkpoint: Checkpoint) -> None:
    report = gate(edit(model, "names", lambda names: names[[1, 0, 2]]), checkpoint)
    assert report.violated == ("wrong_labels",)
    assert "tensor label " in report.explanation


def test_swapped_classifier_rows_fail(model: ModelProto, checkpoint: Checkpoint) -> None:
    edit(model, "windows.logits.weight", lambda weight: weight[:, [1, 0, 2]])
    report = gate(edit(model, "windows.logits.bias", lambda bias: bias[[1, 0, 2]]), checkpoint)
    assert {"flip_rate", "max_logit_difference"} <= set(report.violated)
    assert "tensor windows.logits " in report.explanation


def test_attention_to_a_padded_neighbour_fails_in_a_batch(model: ModelProto, checkpoint: Checkpoint) -> None:
    for node in model.graph.node:
        if node.op_type == "MultiHeadAttention":
            node.input[4] = ""
    report = gate(model, checkpoint)
    assert "batch_probability_difference" in report.violated
    assert "in a batch" in report.explanation
    assert "tensor layer0.attended " in report.explanation


def test_padding_that_is_not_dropped_fails_in_a_batch(model: ModelProto, checkpoint: Checkpoint) -> None:
    padding = next(node for node in model.graph.node if "rows/padding" in node.output)
    padding.op_type, padding.input[:] = "Not", ["rows/inside"]
    report = gate(model, checkpoint)
    assert "max_logit_difference" in report.violated
    assert "tensor rows/padding " in report.explanation


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_overflow_fails(model: ModelProto, checkpoint: Checkpoint, value: float) -> None:
    report = gate(edit(model, "layer0.output.weight", lambda weight: weight * value), checkpoint)
    assert "non_finite" in report.violated
    assert "tensor layer0.output " in report.explanation


def test_half_precision_that_overflows_fails(checkpoint: Checkpoint) -> None:
    model = registry.builder("fp16")(checkpoint)
    edit(model, "layer0.ffn0.in.weight", lambda weight: weight * np.float16(3e4) * np.float16(100))
    report = check_golden(model, "fp16", checkpoint)
    assert report is not None
    assert "non_finite" in report.violated


def test_nothing_is_published_when_a_model_fails(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(checkpoint: Checkpoint) -> ModelProto:
        return edit(build_fp32(checkpoint), "embeddings.weight", lambda weight: weight * 1.01)

    monkeypatch.setattr("export.steps.builder", lambda precision: broken)
    with pytest.raises(GateError, match=r"fp32 does not pass .* golden text .* tensor embeddings "):
        export_checkpoint(small_checkpoint, tmp_path, ["fp32"])
    assert list(tmp_path.iterdir()) == []


def test_figures_are_what_their_names_say(model: ModelProto, checkpoint: Checkpoint) -> None:
    sample = replace(golden_sample(checkpoint), truth=np.array([0, 1, 2, 1, 0]))
    reference = golden_reference(checkpoint).logits + np.array([0.0, 0.3, 0.0])
    figures = measure(open_session(model), sample, reference, checkpoint.config).figures
    answers = golden_reference(checkpoint).logits
    assert figures.max_logit_difference == pytest.approx(0.3, abs=1e-4)
    flips = sum(a.argmax() != b.argmax() for a, b in zip(answers, reference, strict=True))
    assert figures.flip_rate == flips / 5
    margins = []
    for wanted, found in zip(reference, answers, strict=True):
        order = np.argsort(wanted)
        margin = wanted[order[-1]] - wanted[order[-2]]
        margins.append(abs(found[order[-1]] - found[order[-2]] - margin) / max(margin, 1))
    assert figures.margin_difference == pytest.approx(max(margins), abs=1e-4)
    assert sample.truth is not None
    lost = sklearn_f1(sample.truth, reference.argmax(1), average="macro") - sklearn_f1(
        sample.truth, answers.argmax(1), average="macro"
    )
    assert figures.f1_loss == pytest.approx(max(0.0, lost), abs=1e-6)


def test_every_limit_can_be_exceeded(model: ModelProto, checkpoint: Checkpoint) -> None:
    figures = measure(
        open_session(model),
        replace(golden_sample(checkpoint), truth=np.zeros(5, int)),
        golden_reference(checkpoint).logits,
        checkpoint.config,
    ).figures
    assert violations(figures, "fp32") == []
    for precision in registry.BUILDER_MODULES:
        for name in ("non_finite", "wrong_labels", "max_logit_difference", "p999_logit_difference",
                     "margin_difference", "flip_rate", "batch_probability_difference", "f1_loss",
                     "accuracy_loss"):  # fmt: skip
            for value in (limit(precision, name, figures.texts) * 1.01 + 1e-9, float("nan")):
                assert violations(replace(figures, **{name: value}), precision) == [name]


def test_one_flip_is_allowed_among_few_texts_only() -> None:
    assert limit("int8", "flip_rate", 40) == 1 / 40
    assert limit("int8", "flip_rate", 1000) == 0.015
    assert limit("fp32", "flip_rate", 40) == 0


@pytest.mark.parametrize("labels", [2, 4])
def test_scores_equal_scikit_learns(labels: int) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, labels, (2, 200))
    average = "binary" if labels == 2 else "macro"
    assert f1_score(truth, predicted) == pytest.approx(sklearn_f1(truth, predicted, average=average))
    assert accuracy(truth, predicted) == accuracy_score(truth, predicted)


def test_batches_hold_every_text_once_beside_an_all_pad_row(checkpoint: Checkpoint) -> None:
    sample = golden_sample(checkpoint)
    members = []
    for batch in sample.batches():
        members += batch.members
        for member, place in zip(batch.members, batch.places, strict=True):
            kept = batch.rows[place][: len(sample.rows[member])]
            assert kept == sample.rows[member]
            assert set(batch.rows[place][len(kept) :]) <= {sample.pad}
        assert (sample.pad,) * 3 in batch.rows
    assert sorted(members) == list(range(len(sample.rows)))


def write_csv(path: Path, labels: list[object]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *zip(TEXTS, labels, strict=True)])
    return path


def test_labels_are_names_or_numbers_of_any_file_format(checkpoint: Checkpoint, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    names = [checkpoint.config.labels[i] for i in (0, 1, 2, 0, 1, 2)]
    paths = [write_csv(tmp_path / "a.csv", list(names)), write_csv(tmp_path / "b.csv", [0, 1, 2, 0, 1, 2])]
    rows = [json.dumps({"text": text, "label": name}) for text, name in zip(TEXTS, names, strict=True)]
    (tmp_path / "c.jsonl").write_text("\n".join(rows))
    pandas.DataFrame({"text": TEXTS, "label": [0, 1, 2, 0, 1, 2]}).to_parquet(tmp_path / "d.parquet")
    for path in (*paths, tmp_path / "c.jsonl", tmp_path / "d.parquet"):
        sample = read_sample(checkpoint, path)
        assert sample.truth is not None
        assert (sample.texts, sample.truth.tolist()) == (TEXTS, [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\ngood,negative\nbad,awful\n", "row 2: label 'awful' is none of negative, positive"),
        ("text,label\ngood,-1\n", "row 1: label '-1'"),
        ("review,label\ngood,0\n", "no column 'text'"),
        ("text,label\n", "no rows"),
        (b"text,label\n\xff\xfe,0\n", "cannot be read"),
    ],
)
def test_bad_data_is_refused_with_its_row(
    checkpoint: Checkpoint, tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_sample(checkpoint, path)


def test_a_limit_takes_the_same_rows_every_time(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", [0] * 6)
    first, second = (read_sample(checkpoint, path, limit=3) for _ in range(2))
    assert first.texts == second.texts
    assert len(first.texts) == 3


def test_the_reference_is_torch_or_the_graph_that_agrees_with_it(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = read_sample(checkpoint, write_csv(tmp_path / "data.csv", [0] * 6))
    wanted = torch_logits(torch_model(checkpoint.folder), sample.rows)
    by_torch = reference_logits(checkpoint, sample)
    monkeypatch.setattr("export.gate.reference.find_spec", lambda name: None)
    by_graph = reference_logits(checkpoint, sample)
    for reference, source in ((by_torch, "torch in float32"), (by_graph, "the fp32 graph")):
        np.testing.assert_allclose(reference.logits, wanted, atol=1e-4)
        assert source in reference.source
    with pytest.raises(GateError, match=r"without torch and without golden\.jsonl"):
        reference_logits(replace(checkpoint, golden=()), sample)


def test_without_golden_texts_other_precisions_are_held_against_the_fp32_graph(
    checkpoint: Checkpoint, model: ModelProto
) -> None:
    bare = replace(checkpoint, golden=())
    assert check_golden(model, "fp32", bare) is None
    report = check_golden(registry.builder("fp16")(bare), "fp16", bare)
    assert report is not None
    assert "not compared with torch" in report.reference
    assert report.violated == ()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_the_command_passes_a_good_model_and_exits_1_for_a_bad_one(
    model: ModelProto,
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_csv(tmp_path / "data.csv", [0, 1, 2, 0, 1, 2])
    command = ["check", "--checkpoint", small_checkpoint, "--precision", "fp32"]
    assert run(monkeypatch, *command) == 0
    assert run(monkeypatch, *command, "--data", data) == 0
    onnx.save(edit(model, "layer0.attention.weight", lambda weight: -weight), tmp_path / "bad.onnx")
    capsys.readouterr()
    assert run(monkeypatch, *command, "--data", data, "--model", tmp_path / "bad.onnx") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: fp32 does not pass the gate: ")
    assert "row " in error
    assert "tensor layer0.attention " in error
    assert len(error.splitlines()) == 1


def test_a_broken_reference_is_reported_as_such(checkpoint: Checkpoint, model: ModelProto) -> None:
    sample = golden_sample(checkpoint)
    reference = graph_reference(checkpoint, sample)
    shifted = replace(reference, logits=reference.logits + np.array([1.0, 0.0, 0.0]))
    report = check(model, "fp32", checkpoint, sample, shifted)
    assert "no tensor differs from the float32 graph" in report.explanation


def test_info_prints_manifests(
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version, _ = export_checkpoint(small_checkpoint, tmp_path, ["fp32"])
    manifest = json.loads((tmp_path / "mobilebert_fp32" / str(version) / "manifest.json").read_text())
    assert manifest["gate"]["passed"]
    assert manifest["gate"]["texts"] == 5
    assert set(manifest["libraries"]) >= {"python", "numpy", "onnx", "onnxruntime"}
    assert run(monkeypatch, "info", "--repository", tmp_path) == 0
    printed = capsys.readouterr().out
    for words in ("mobilebert_fp32", manifest["checkpoint_sha256"][:12], "passed", "onnxruntime"):
        assert words in printed


def test_info_of_an_empty_repository_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "info", "--repository", tmp_path) == 1
    assert "run `python -m export` first" in capsys.readouterr().err
