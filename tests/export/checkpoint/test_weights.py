"""Weights as people have them on disk: shards, prefixes, other names; each gives the same checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.checkpoint.reading import checkpoint_hash, load_checkpoint
from export.errors import CheckpointError
from tests.export.kinds import pickle_weights, rename_weights, same_weights, shard


def refusal(folder: Path) -> str:
    """The one line that refuses the checkpoint."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_are_read_as_one(own_checkpoint: Path, small_checkpoint: Path) -> None:
    shard(own_checkpoint)
    same_weights(load_checkpoint(own_checkpoint).weights, load_checkpoint(small_checkpoint).weights)
    assert load_checkpoint(own_checkpoint).notes == ()


def test_the_hash_knows_every_shard_and_the_index(own_checkpoint: Path) -> None:
    shard(own_checkpoint)
    before = checkpoint_hash(own_checkpoint)
    for path in (
        *own_checkpoint.glob("model-*.safetensors"),
        own_checkpoint / "model.safetensors.index.json",
    ):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert checkpoint_hash(own_checkpoint) != before, path.name
        path.write_bytes(content)
    assert checkpoint_hash(own_checkpoint) == before


def test_a_missing_shard_is_named(own_checkpoint: Path) -> None:
    shard(own_checkpoint)
    lost = sorted(own_checkpoint.glob("model-*.safetensors"))[1]
    lost.unlink()
    assert f"{lost.name} is missing" in refusal(own_checkpoint)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "sub/x.safetensors", "model.bin"])
def test_an_index_cannot_point_out_of_its_folder(name: str, own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").rename(own_checkpoint.parent / "model.safetensors")
    index = {"weight_map": {"classifier.bias": name}}
    (own_checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    refused = refusal(own_checkpoint)
    assert "is not the name of a file in this folder" in refused or "no safetensors file" in refused


@pytest.mark.parametrize("content", ["{}", "[]", "nonsense", '{"weight_map": []}'])
def test_a_damaged_index_is_named(content: str, own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").unlink()
    (own_checkpoint / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in refusal(own_checkpoint)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "model.module.", "net.encoder."])
def test_a_prefix_before_all_names_is_dropped_and_said(
    prefix: str, own_checkpoint: Path, small_checkpoint: Path
) -> None:
    rename_weights(own_checkpoint, lambda name: prefix + name)
    checkpoint = load_checkpoint(own_checkpoint)
    same_weights(checkpoint.weights, load_checkpoint(small_checkpoint).weights)
    assert [note for note in checkpoint.notes if repr(prefix) in note]


def test_tensorflows_names_of_norms_are_known(own_checkpoint: Path, small_checkpoint: Path) -> None:
    def rename(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    rename_weights(own_checkpoint, rename)
    same_weights(load_checkpoint(own_checkpoint).weights, load_checkpoint(small_checkpoint).weights)


def test_two_models_in_one_file_are_refused(own_checkpoint: Path) -> None:
    path = own_checkpoint / "model.safetensors"
    stored = load_file(path)
    save_file(
        {f"{who}.{name}": tensor for who in ("student", "teacher") for name, tensor in stored.items()}, path
    )
    assert "several encoders" in refusal(own_checkpoint)


def test_an_encoder_without_a_head_says_what_is_missing(own_checkpoint: Path) -> None:
    path = own_checkpoint / "model.safetensors"
    stored = {name.removeprefix("mobilebert."): each for name, each in load_file(path).items()}
    save_file({name: each for name, each in stored.items() if "classifier" not in name}, path)
    assert "classifier.weight is missing" in refusal(own_checkpoint)
    assert "MobileBertForSequenceClassification" in refusal(own_checkpoint)


def test_a_single_file_of_another_name_is_read_and_said(own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").rename(own_checkpoint / "model.fp16.safetensors")
    (own_checkpoint / "activation_ranges.safetensors").write_bytes(b"")
    assert "activation_ranges" in refusal(own_checkpoint), "found the weights, then the damaged ranges"
    (own_checkpoint / "activation_ranges.safetensors").unlink()
    assert load_checkpoint(own_checkpoint).notes == ("weights read from model.fp16.safetensors",)


def test_of_two_files_none_is_chosen(own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").rename(own_checkpoint / "a.safetensors")
    (own_checkpoint / "b.safetensors").write_bytes((own_checkpoint / "a.safetensors").read_bytes())
    assert "which of a.safetensors, b.safetensors" in refusal(own_checkpoint)


def test_a_pointer_of_git_lfs_is_recognised(own_checkpoint: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 98\n"
    (own_checkpoint / "model.safetensors").write_text(pointer)
    assert "git lfs pull" in refusal(own_checkpoint)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "epoch=3.ckpt"])
def test_pickles_are_refused_with_the_command_that_converts_them(name: str, own_checkpoint: Path) -> None:
    pickle_weights(own_checkpoint, name)
    assert name in refusal(own_checkpoint)
    assert f"python -m training.convert {own_checkpoint}`" in refusal(own_checkpoint)


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.onnx", "model.gguf"])
def test_weights_in_another_format_are_named(name: str, own_checkpoint: Path) -> None:
    (own_checkpoint / "model.safetensors").rename(own_checkpoint / name)
    assert name in refusal(own_checkpoint)


def test_quantized_weights_are_refused_by_name(own_checkpoint: Path) -> None:
    path = own_checkpoint / "model.safetensors"
    stored = load_file(path)
    name = "mobilebert.encoder.layer.0.attention.self.query.weight"
    save_file({**stored, name: np.zeros_like(stored[name], dtype=np.int8)}, path)
    assert "quantized" in refusal(own_checkpoint)
    assert name in refusal(own_checkpoint)


def test_double_precision_is_read_as_float32(own_checkpoint: Path, small_checkpoint: Path) -> None:
    path = own_checkpoint / "model.safetensors"
    save_file({name: each.astype(np.float64) for name, each in load_file(path).items()}, path)
    same_weights(load_checkpoint(own_checkpoint).weights, load_checkpoint(small_checkpoint).weights)
