"""The checkpoint that ships is what its card says: genuine, sane, and good enough."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    MobileBertForSequenceClassification,
)

from tests.export.oracle import long_row_logits
from training.golden import golden_texts
from training.ranges import measured_modules

CHECKPOINT = Path(__file__).parents[2] / "checkpoints/mobilebert-imdb"
METRICS = json.loads((CHECKPOINT / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model() -> MobileBertForSequenceClassification:
    loaded = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
    assert isinstance(loaded, MobileBertForSequenceClassification)
    return loaded


def test_it_has_every_part_of_the_architecture(model: MobileBertForSequenceClassification) -> None:
    config = model.config
    assert config.trigram_input
    assert config.use_bottleneck
    assert (config.normalization_type, config.num_feedforward_networks) == ("no_norm", 4)
    assert config.id2label == {0: "negative", 1: "positive"}


def test_it_meets_its_targets_and_is_small() -> None:
    assert METRICS["report"]["texts"] == 20_000
    assert METRICS["report"]["f1"]["value"] >= 0.9
    assert METRICS["report"]["calibration_error"]["value"] <= 0.03
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) < 60e6
    assert METRICS["float16_storage"]["same_label"] > 0.999


def test_the_card_says_what_the_metrics_say() -> None:
    card = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert f"{METRICS['report']['f1']['value']:.4f}" in card
    assert f"{METRICS['report']['calibration_error']['value']:.4f}" in card


def test_golden_logits_come_from_the_stored_weights(model: MobileBertForSequenceClassification) -> None:
    lines = (CHECKPOINT / "golden.jsonl").read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line]
    assert [record["text"] for record in records] == [item["text"] for item in golden_texts()]
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    for record in records:
        encoded = tokenizer(record["text"], truncation=True, max_length=4096)
        assert encoded["input_ids"] == record["input_ids"]
        logits = long_row_logits(model, [record["input_ids"]], 512)[0]
        np.testing.assert_allclose(record["logits"], logits, atol=1e-4)


def test_it_tells_plain_praise_from_plain_blame(model: MobileBertForSequenceClassification) -> None:
    records = [json.loads(line) for line in (CHECKPOINT / "golden.jsonl").read_text().split("\n") if line]
    predicted = {record["name"]: int(np.argmax(record["logits"])) for record in records}
    for name, label in predicted.items():
        if name.split()[-1] in ("positive", "negative"):
            assert label == name.endswith("positive"), name


def test_norms_and_activations_are_moderate(model: MobileBertForSequenceClassification) -> None:
    for name, weight in model.named_parameters():
        if name.endswith("LayerNorm.weight"):
            assert weight.abs().min() > 0.05, name
    with safe_open(CHECKPOINT / "activation_ranges.safetensors", "np") as file:
        keys = set(file.keys())
        assert max(np.abs(file.get_tensor(key)).max() for key in keys) < 1000
    assert keys == {f"{name}:{end}" for name in measured_modules(model) for end in ("input", "output")}
