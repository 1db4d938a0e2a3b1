"""What lies beside a checkpoint: golden texts, activation ranges, the card; whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.export.oracle import long_row_logits
from training.checkpoint import as_stored, storage_report
from training.golden import golden_texts, write_golden
from training.ranges import QUANTILES, measure_ranges, write_ranges
from training.student import new_student

TEXTS = [[101, *range(110, 110 + n), 102] for n in (3, 30, 12)]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return new_student(num_labels=2, depth=2, seed=4, vocab_size=200).eval()


def test_golden_texts_cover_what_breaks_tokenizers() -> None:
    texts = {item["name"]: item["text"] for item in golden_texts()}
    assert len(texts) >= 40
    assert "" in texts.values()
    assert any(text and not text.strip() for text in texts.values())
    for fragment in ("<br", "&amp;", "😀", "映画", "فيلم", "\u0000", "\u0301"):
        assert any(fragment in text for text in texts.values()), fragment
    assert sum(len(text.split()) > 512 for text in texts.values()) >= 3


def test_golden_logits_are_the_stored_models_own(base_model: Path) -> None:
    path = write_golden(base_model)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    path.unlink()
    stored = AutoModelForSequenceClassification.from_pretrained(base_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    assert [record["text"] for record in records] == [item["text"] for item in golden_texts()]
    for record in records:
        words = tokenizer.tokenize(record["text"])
        kept = words[: 4096 - 2]
        assert record["input_ids"][1:-1] == tokenizer.convert_tokens_to_ids(kept)
        assert record["truncated"] == (len(words) > len(kept))
        logits = long_row_logits(stored, [record["input_ids"]], stored.config.max_position_embeddings)[0]
        np.testing.assert_allclose(record["logits"], logits, atol=1e-5)
    assert any(record["truncated"] for record in records)


def test_ranges_equal_quantiles_of_all_tokens(model: nn.Module, tmp_path: Path) -> None:
    name = "mobilebert.encoder.layer.1.ffn.0.output.dense"
    seen: list[torch.Tensor] = []
    module = model.get_submodule(name)
    handle = module.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0][0].detach()))
    ranges, tokens = measure_ranges(model, TEXTS)
    handle.remove()
    expected = np.quantile(torch.cat(seen[: len(TEXTS)]).numpy(), QUANTILES, axis=0)
    np.testing.assert_allclose(ranges[f"{name}:input"], expected, rtol=1e-5, atol=1e-6)
    assert expected.min() == 0  # what a ReLU gives
    path = write_ranges(tmp_path, ranges, tokens)
    with safe_open(path, "np") as file:
        assert file.metadata() == {"quantiles": json.dumps(list(QUANTILES)), "tokens": str(tokens)}
    assert tokens == sum(map(len, TEXTS))


def test_ranges_name_every_linear_and_norm(model: nn.Module) -> None:
    ranges, _ = measure_ranges(model, TEXTS)
    for name, module in model.named_modules():
        measured = isinstance(module, nn.Linear) or type(module).__name__ == "NoNorm"
        assert (f"{name}:input" in ranges) == (f"{name}:output" in ranges) == measured
    last = "mobilebert.encoder.layer.1.output.bottleneck.LayerNorm:output"
    assert ranges[last].shape == (len(QUANTILES), 512)
    assert ranges["classifier:input"].shape == (len(QUANTILES), 512)
    assert (np.diff(ranges[last], axis=0) >= 0).all()


def test_the_ends_are_exact_when_the_middle_is_sampled(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, _ = measure_ranges(model, TEXTS)
    monkeypatch.setattr("training.ranges.SORTED_TOKENS", 7)
    sampled, _ = measure_ranges(model, TEXTS)
    for name, values in full.items():
        np.testing.assert_array_equal(sampled[name][[0, -1]], values[[0, -1]])


def test_half_storage_rounds_weights_and_leaves_the_model_alone(model: nn.Module) -> None:
    weight = model.classifier.weight.detach().clone()
    stored = as_stored(model, half=True)
    assert torch.equal(stored.classifier.weight, weight.half().float())
    assert torch.equal(model.classifier.weight, weight)
    assert not torch.equal(stored.classifier.weight, weight)


def test_storage_report_counts_changed_labels() -> None:
    full = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.5], [1.0, 0.0]], np.float32)
    stored = full.copy()
    stored[2] = [0.6, 0.5]
    report = storage_report(full, stored, np.array([0, 1, 1, 0]))
    assert report["same_label"] == 0.75
    assert report["largest_logit_difference"] == pytest.approx(0.2)
    assert (report["f1_float32"], report["f1_float16"]) == (1.0, pytest.approx(2 / 3))
