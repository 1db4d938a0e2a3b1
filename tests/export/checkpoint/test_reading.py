"""Reading a checkpoint: what is refused and how, and what is read from where."""

import json
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import MobileBertConfig

from export.checkpoint.config import parse_config
from export.checkpoint.reading import checkpoint_hash, load_checkpoint
from export.errors import CheckpointError
from tests.export.oracle import TEXTS


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, **changes: np.ndarray | None) -> None:
    """Replace the tensors whose names end so; None removes one."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    for suffix, value in changes.items():
        name = next(name for name in weights if name.endswith(suffix.replace("__", ".")))
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    save_file(weights, path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("normalization_type", "layer_norm"),
        ("use_bottleneck", False),
        ("hidden_act", "gelu"),
        ("model_type", "bert"),
        ("architectures", ["MobileBertForMaskedLM"]),
        ("problem_type", "ranking"),
        ("threshold", 0),
        ("threshold", "half"),
        ("num_attention_heads", 5),
        ("key_query_shared_bottleneck", False),
        ("id2label", {"0": "a", "2": "c"}),
        ("id2label", {"0": "a", "1": None, "2": "c"}),
        ("id2label", {}),
        ("id2label", {"bad": 0, "good": 1}),
        ("id2label", {"first": "a", "second": "b"}),
        ("id2label", ["a", "b"]),
        ("num_hidden_layers", -1),
        ("hidden_size", "wide"),
        ("trigram_input", 1),
        ("pad_token_id", 10**6),
    ],
)
def test_an_unsupported_configuration_is_refused_by_name(
    field: str, value: Any, own_checkpoint: Path
) -> None:
    change_config(own_checkpoint, **{field: value})
    with pytest.raises(CheckpointError, match=field) as caught:
        load_checkpoint(own_checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "labels", "wanted"),
    [
        (None, 1, "regression"),
        (None, 3, "single_label_classification"),
        ("regression", 3, "regression"),
        ("multi_label_classification", 1, "multi_label_classification"),
    ],
)
def test_the_problem_type_is_the_one_that_transformers_trains(
    given: str | None, labels: int, wanted: str
) -> None:
    raw = {"model_type": "mobilebert", "num_labels": labels, "problem_type": given}
    assert parse_config(raw).problem_type == wanted


def test_the_probability_of_an_only_class_is_refused_with_the_ways_out() -> None:
    raw = {"model_type": "mobilebert", "num_labels": 1, "problem_type": "single_label_classification"}
    with pytest.raises(CheckpointError, match="regression for a score, or multi_label"):
        parse_config(raw)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", None])
def test_another_architecture_is_refused_with_the_reason_and_the_way_out(
    model_type: str | None, own_checkpoint: Path
) -> None:
    change_config(own_checkpoint, model_type=model_type)
    with pytest.raises(CheckpointError, match=r"only mobilebert is supported, because .*optimum-cli export"):
        load_checkpoint(own_checkpoint)


def test_a_gap_in_the_labels_is_refused_with_the_missing_number(own_checkpoint: Path) -> None:
    change_config(own_checkpoint, id2label={"0": "a", "1": "b", "3": "d"})
    with pytest.raises(CheckpointError, match="not number 2"):
        load_checkpoint(own_checkpoint)


@pytest.mark.parametrize(
    ("count", "names"), [(None, ("LABEL_0", "LABEL_1")), (3, ("LABEL_0", "LABEL_1", "LABEL_2"))]
)
def test_labels_without_names_are_called_as_transformers_calls_them(
    count: int | None, names: tuple[str, ...]
) -> None:
    raw = {"model_type": "mobilebert", "id2label": None, "num_labels": count}
    assert parse_config(raw).labels == names
    assert tuple(MobileBertConfig(**{k: v for k, v in raw.items() if v}).id2label.values()) == names


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(name: str, own_checkpoint: Path) -> None:
    (own_checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(own_checkpoint)


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "tokenizer.json", "golden.jsonl", "activation_ranges.safetensors"],
)
@pytest.mark.parametrize("content", [b"", b"not what it says", b"[1, 2]", b"\xff\xfe\x00"])
def test_a_damaged_file_is_named(name: str, content: bytes, own_checkpoint: Path) -> None:
    (own_checkpoint / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as caught:
        load_checkpoint(own_checkpoint)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_pickled_weights_are_refused_unread(own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").rename(own_checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickle"):
        load_checkpoint(own_checkpoint)


def test_a_missing_weight_is_named(own_checkpoint: Path) -> None:
    change_weights(own_checkpoint, layer__1__attention__self__value__bias=None)
    with pytest.raises(CheckpointError, match=r"layer\.1\.attention\.self\.value\.bias"):
        load_checkpoint(own_checkpoint)


def test_a_weight_of_another_shape_is_named(own_checkpoint: Path) -> None:
    change_weights(own_checkpoint, classifier__weight=np.zeros((5, 96), np.float32))
    with pytest.raises(CheckpointError, match=r"classifier\.weight has shape \[5, 96\]"):
        load_checkpoint(own_checkpoint)


def test_a_weight_that_is_not_finite_is_named(own_checkpoint: Path) -> None:
    change_weights(own_checkpoint, classifier__bias=np.array([0, np.nan, 1], np.float32))
    with pytest.raises(CheckpointError, match=r"classifier\.bias"):
        load_checkpoint(own_checkpoint)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_weights_in_half_precision_are_read_as_float32(dtype: type, own_checkpoint: Path) -> None:
    exact = load_checkpoint(own_checkpoint).weights
    stored = {
        name: array.astype(dtype) for name, array in load_file(own_checkpoint / "model.safetensors").items()
    }
    save_file(stored, own_checkpoint / "model.safetensors")
    for name, weight in load_checkpoint(own_checkpoint).weights.items():
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, exact[name].astype(dtype).astype(np.float32))


def test_what_a_checkpoint_says_of_itself(small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    assert checkpoint.config.labels == ("negative", "positive", "neutral")
    assert (checkpoint.config.hidden_size, checkpoint.config.head_size) == (96, 16)
    assert tuple(text.text for text in checkpoint.golden) == TEXTS
    assert not any(text.truncated for text in checkpoint.golden), "the longest one is read in windows"
    assert checkpoint.tokenizer_json == (small_checkpoint / "tokenizer.json").read_bytes()
    assert checkpoint.ranges == {}


def test_labels_follow_the_numbers_not_the_order_in_the_file(own_checkpoint: Path) -> None:
    change_config(
        own_checkpoint,
        id2label={"10": "k", "2": "c", "1": "b", "0": "a"} | {str(i): "x" for i in range(3, 10)},
    )
    change_weights(
        own_checkpoint,
        classifier__weight=np.zeros((11, 96), np.float32),
        classifier__bias=np.zeros(11, np.float32),
    )
    (own_checkpoint / "golden.jsonl").unlink()
    labels = load_checkpoint(own_checkpoint).config.labels
    assert (labels[0], labels[1], labels[2], labels[10]) == ("a", "b", "c", "k")


def test_golden_logits_of_another_number_of_labels_are_refused(own_checkpoint: Path) -> None:
    path = own_checkpoint / "golden.jsonl"
    path.write_text(path.read_text().replace('"logits": [', '"logits": [0.5, '))
    with pytest.raises(CheckpointError, match=r"golden\.jsonl"):
        load_checkpoint(own_checkpoint)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "golden.jsonl"])
def test_the_hash_knows_every_file_that_export_reads_and_no_other(name: str, own_checkpoint: Path) -> None:
    before = checkpoint_hash(own_checkpoint)
    (own_checkpoint / "README.md").write_text("a model card")
    moved = Path(shutil.copytree(own_checkpoint, own_checkpoint.with_name("moved")))
    assert checkpoint_hash(own_checkpoint) == checkpoint_hash(moved) == before
    with (own_checkpoint / name).open("ab") as file:
        file.write(b" ")
    assert checkpoint_hash(own_checkpoint) != before
