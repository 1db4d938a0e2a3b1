"""Pickled weights to safetensors, without running what a pickle may hold.

    python -m training.convert checkpoints/mine     # pytorch_model.bin -> model.safetensors

`torch.load(weights_only=True)` builds tensors and plain containers and refuses everything else. Shards are
joined. Of a training's state (Lightning's `.ckpt`) only the weights are taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import durable

PATTERNS = ("pytorch_model*.bin", "*.bin", "*.pt", "*.pth", "*.ckpt")
# Files of a training's folder that are pickled but hold no weights.
OTHERS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth"}


class ConversionError(ValueError):
    """There is nothing to convert, or it is more than tensors; the message says what to do."""


def convert(folder: Path) -> Path:
    """Write `folder`/model.safetensors from the pickled weights there; returns its path.

    Raises:
        ConversionError: the folder has none, has safetensors already, or a pickle holds more than weights.
    """
    target = folder / "model.safetensors"
    if target.exists():
        raise ConversionError(f"{target} exists already; delete it to write it anew")
    tensors: dict[str, Tensor] = {}
    for path in pickled_files(folder):
        tensors |= read_pickle(path)
    with durable.replacing(target) as beside:
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, beside, {"format": "pt"})
    return target


def pickled_files(folder: Path) -> list[Path]:
    """The folder's pickled weights: all shards of one kind, or the one file there is."""
    for pattern in PATTERNS:
        found = sorted(path for path in folder.glob(pattern) if path.name not in OTHERS)
        if len(found) == 1 or (found and "-of-" in found[0].name):
            return found
        if found:
            names = ", ".join(path.name for path in found)
            raise ConversionError(
                f"{folder} holds several files of weights ({names}); leave the one to convert"
            )
    raise ConversionError(f"{folder} holds no pickled weights (pytorch_model.bin, *.pt, *.ckpt)")


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of one pickled state, by name.

    Raises:
        ConversionError: it holds objects that only the program that wrote it should load, or no tensors.
    """
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling, zip and torch raise alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(
            f"{path} holds more than weights, or is damaged ({reason}); save the model again where it was "
            "trained, with save_pretrained"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = {name: each for name, each in dict(loaded).items() if isinstance(each, Tensor)}
    if not tensors:
        raise ConversionError(f"{path} holds no tensors by name")
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def main(words: list[str] | None = None) -> None:
    """The command line; a failure is one line."""
    parser = argparse.ArgumentParser(prog="python -m training.convert", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a checkpoint's folder with pytorch_model.bin")
    try:
        print(f"wrote {convert(parser.parse_args(words).folder)}")
    except (ConversionError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
