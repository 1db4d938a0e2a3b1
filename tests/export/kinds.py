"""A checkpoint as people have it on disk: the same model, written in other ways."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from tests.export.oracle import torch_model


def shard(folder: Path) -> None:
    """Save the model in shards, and remove the single file."""
    model = torch_model(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


def rename_weights(folder: Path, rename: Callable[[str], str]) -> None:
    """Store every tensor under another name."""
    path = folder / "model.safetensors"
    save_file({rename(name): tensor for name, tensor in load_file(path).items()}, path)


def pickle_weights(folder: Path, name: str = "pytorch_model.bin") -> Path:
    """Store the weights as torch.save does, and remove the safetensors file."""
    path = folder / name
    torch.save(torch_model(folder).state_dict(), path)
    (folder / "model.safetensors").unlink()
    return path


def leave_vocabulary(folder: Path, **settings: object) -> None:
    """Replace tokenizer.json by vocab.txt and a tokenizer_config.json with these settings."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    content = {"tokenizer_class": "MobileBertTokenizer", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))


def same_weights(left: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float = 0.0) -> None:
    """Assert that two sets of weights have the same names and values."""
    assert left.keys() == right.keys()
    for name, weight in left.items():
        np.testing.assert_allclose(weight, right[name], rtol=0, atol=tolerance, err_msg=name)
