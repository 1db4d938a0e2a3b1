"""Activation ranges: per-channel quantiles of every Linear's and NoNorm's input and output.

`export` chooses fp16 scales and int8 steps from them, so it needs no data. Layout of
`activation_ranges.safetensors`: `<module>:input` and `<module>:output`, float32 [quantiles, channels], with
`<module>` the name in `named_modules()`; row 0 is the exact minimum, the last row the exact maximum. The
file's metadata names the quantiles and how many tokens were measured.

    ranges, tokens = measure_ranges(model, token_ids)
    write_ranges(Path("checkpoints/mine"), ranges, tokens)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel
from transformers.models.mobilebert.modeling_mobilebert import NoNorm

import durable

RANGES_FILE = "activation_ranges.safetensors"
QUANTILES = (0, 0.0001, 0.001, 0.5, 0.999, 0.9999, 1)
MODULES_PER_PASS = 32
SORTED_TOKENS = 20_000
Ranges = dict[str, NDArray[np.float32]]


def measured_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Every Linear and NoNorm of `model`, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | NoNorm)}


@torch.no_grad()
def measure_ranges(model: PreTrainedModel, texts: Iterable[Sequence[int]]) -> tuple[Ranges, int]:
    """Run each text of token ids alone (no padding to exclude). Returns the ranges and the number of tokens.

    A few modules at a time, because all tensors of all tokens do not fit in memory.
    """
    model.eval()
    batches = [torch.tensor([list(text)], device=model.device) for text in texts]
    modules = measured_modules(model)
    names = list(modules)
    ranges: Ranges = {}
    for start in tqdm(range(0, len(names), MODULES_PER_PASS), desc="activation ranges", leave=False):
        chosen = {name: modules[name] for name in names[start : start + MODULES_PER_PASS]}
        ranges |= _all_quantiles(_record(model, chosen, batches))
    return ranges, sum(batch.shape[1] for batch in batches)


def _record(
    model: PreTrainedModel, modules: dict[str, nn.Module], batches: Sequence[Tensor]
) -> dict[str, list[Tensor]]:
    seen: dict[str, list[Tensor]] = {}

    def keep(key: str, tensor: Tensor) -> None:
        seen.setdefault(key, []).append(tensor.detach().float().cpu().reshape(-1, tensor.shape[-1]))

    def hook_for(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            keep(f"{name}:input", inputs[0])
            keep(f"{name}:output", output)

        return hook

    handles = [module.register_forward_hook(hook_for(name)) for name, module in modules.items()]
    try:
        for batch in batches:
            model(input_ids=batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _all_quantiles(seen: dict[str, list[Tensor]]) -> Ranges:
    """Sort each tensor once: a module's output is often the same tensor as the input of others."""
    done: dict[tuple[int, ...], NDArray[np.float32]] = {}
    ranges: Ranges = {}
    for key, rows in seen.items():
        place = tuple(row.data_ptr() for row in rows)
        if place not in done:
            done[place] = _quantiles(torch.cat(rows).numpy())
        ranges[key] = done[place].copy()
    return ranges


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[tokens, channels] to [quantiles, channels]: the ends exact, the rest from evenly spaced tokens."""
    spaced = values[:: -(-len(values) // SORTED_TOKENS)]
    inner = np.quantile(spaced, QUANTILES[1:-1], axis=0)
    return np.concatenate([values.min(axis=0)[None], inner, values.max(axis=0)[None]]).astype(np.float32)


def write_ranges(checkpoint: Path, ranges: Ranges, tokens: int) -> Path:
    """Write `checkpoint`/activation_ranges.safetensors. Returns its path."""
    path = checkpoint / RANGES_FILE
    metadata = {"quantiles": json.dumps(list(QUANTILES)), "tokens": str(tokens)}
    with durable.replacing(path) as beside:
        save_file(ranges, beside, metadata=metadata)
    return path
