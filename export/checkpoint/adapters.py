"""LoRA adapters, merged into the weights of their base.

An adapter of PEFT replaces a few weights W [out, in] by (Hu et al., arXiv:2106.09685)

    W + s * B A          A [r, in], B [out, r], s = alpha / r, or alpha / sqrt(r) with `use_rslora`

and, with `use_dora` (arXiv:2402.09353), scales the rows of that sum to the norms that the adapter stores.
Modules that were trained whole, such as the classifier, are in the adapter's file, and replace those of the
base.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.untrusted import MAX_CONFIG_BYTES, check_numbers, member, read_json
from export.checkpoint.weights import Read, Weights, damaged, open_tensors
from export.errors import CheckpointError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PARTS = ("lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B", "lora_B.bias")
_MAGNITUDES = ("lora_magnitude_vector", "lora_magnitude_vector.weight")
_MERGE = (
    'python -c "from peft import AutoPeftModelForSequenceClassification as P; '
    "P.from_pretrained('{folder}').merge_and_unload().save_pretrained('merged')\""
)

Parts = Mapping[str, NDArray[Any]]


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter and not a whole model."""
    return (folder / CONFIG).is_file() and not (folder / "model.safetensors").exists()


def adapter_files(folder: Path) -> list[Path]:
    """The files of an adapter.

    Raises:
        CheckpointError: its weights are missing, or pickled.
    """
    if not member(folder, WEIGHTS).is_file():
        pickled = (
            " is missing, and pickles (adapter_model.bin) are never read"
            if _pickled(folder)
            else " is missing"
        )
        raise CheckpointError(f"{folder}: {WEIGHTS}{pickled}; save the adapter with save_pretrained of PEFT")
    return [folder / CONFIG, folder / WEIGHTS]


def base_folder(folder: Path) -> Path:
    """Where the base of the adapter in `folder` lies: the path that it names, or a folder beside the adapter.

    Raises:
        CheckpointError: there is no such folder here, or this kind of adapter cannot be merged.
    """
    config = _read_config(folder)
    command = _MERGE.format(folder=folder)
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{folder / CONFIG}: peft_type is {config.get('peft_type')!r}: LORA is merged here; others, "
            f"where PEFT can, by {command}"
        )
    named = str(config.get("base_model_name_or_path") or "")
    name = Path(named)
    places = [name, folder / name, folder.parent / name, folder.parent / name.name]
    for place in places if named else []:
        if (place / "config.json").is_file() and place.resolve() != folder.resolve():
            return place
    raise CheckpointError(
        f"{folder}: its base {named!r} is no folder here or beside the adapter; put it there, or merge with "
        f"{command}"
    )


@dataclass(frozen=True)
class _Lora:
    """What adapter_config.json says of ranks and scales; patterns match the end of a module's name."""

    rank: int
    alpha: float
    ranks: Mapping[re.Pattern[str], int]
    alphas: Mapping[re.Pattern[str], float]
    rooted: bool

    def scale(self, module: str) -> float:
        """s of the module's equation."""
        rank = _by_pattern(self.ranks, module, self.rank)
        alpha = _by_pattern(self.alphas, module, self.alpha)
        return float(alpha / (rank**0.5 if self.rooted else rank))


def merge_adapter(folder: Path, base: Weights) -> Weights:
    """`base` with the adapter of `folder` merged in; each tensor is merged when it is read.

    Raises:
        CheckpointError: the adapter is damaged, or changes what the base does not have.
    """
    path = folder / WEIGHTS
    config = _lora(folder)
    with damaged(str(path)):
        stored = {name.removeprefix(_PREFIX): read() for name, read in open_tensors(path).items()}
    parts, whole = _split(stored)
    tensors: dict[str, Read] = {**base.tensors}
    tensors |= {name: partial(np.asarray, tensor) for name, tensor in whole.items()}
    for module, own in parts.items():
        weight, bias, scale = f"{module}.weight", f"{module}.bias", config.scale(module)
        if weight not in base.tensors:
            raise CheckpointError(
                f"{path}: {module} is adapted, but its base {base.where} has no such module"
            )
        tensors[weight] = partial(_merge, base.tensors[weight], own, scale, path)
        if "lora_B.bias" in own:
            tensors[bias] = partial(_add, base.tensors[bias], scale * _float(own["lora_B.bias"]))
    note = f"a LoRA adapter of {len(parts)} modules was merged into {Path(base.where).parent}"
    return Weights(f"{path} on {base.where}", tensors, (*base.notes, note))


def classifier_rows(folder: Path) -> int | None:
    """How many labels the classifier that comes with the adapter has; None where it has none of its own."""
    with damaged(str(folder / WEIGHTS)):
        for name, read in open_tensors(folder / WEIGHTS).items():
            if name.endswith("classifier.weight") or name.endswith("classifier.modules_to_save.weight"):
                return len(read())
    return None


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(member(folder, CONFIG), MAX_CONFIG_BYTES)
    check_numbers(config, CONFIG)
    return config


def _lora(folder: Path) -> _Lora:
    config = _read_config(folder)
    try:
        return _Lora(
            int(config["r"]),
            float(config["lora_alpha"]),
            _patterns(config.get("rank_pattern") or {}),
            _patterns(config.get("alpha_pattern") or {}),
            bool(config.get("use_rslora")),
        )
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged ({error!r}); save the adapter again") from error


def _split(stored: Parts) -> tuple[dict[str, dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """The factors by module, and the tensors that replace those of the base."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    whole = {}
    for name, tensor in stored.items():
        part = next((each for each in (*_PARTS, *_MAGNITUDES) if name.endswith(f".{each}")), None)
        if part is None:
            whole[re.sub(r"\.(modules_to_save|base_layer)(\.default)?(?=\.)", "", name)] = tensor
        else:
            parts.setdefault(name.removesuffix(f".{part}"), {})[part] = tensor
    return parts, whole


def _add(read: Read, extra: NDArray[np.float64]) -> NDArray[np.float64]:
    return _float(read()) + extra


def _merge(read: Read, own: Parts, scale: float, where: Path) -> NDArray[np.float64]:
    weight = _float(read())
    try:
        if "lora_embedding_A" in own:
            return weight + scale * (_float(own["lora_embedding_B"]) @ _float(own["lora_embedding_A"])).T
        merged = weight + scale * (_float(own["lora_B.weight"]) @ _float(own["lora_A.weight"]))
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{where} does not fit its base ({error}); save the adapter again") from error
    magnitude = next((_float(own[name]) for name in _MAGNITUDES if name in own), None)
    if magnitude is None:
        return merged
    return merged * (magnitude.reshape(-1) / np.linalg.norm(merged, axis=1))[:, None]


def _patterns(values: Mapping[str, Any]) -> dict[re.Pattern[str], Any]:
    return {re.compile(rf"(.*\.)?({key})$"): value for key, value in values.items()}


def _by_pattern(patterns: Mapping[re.Pattern[str], Any], module: str, default: Any) -> Any:
    return next((value for pattern, value in patterns.items() if pattern.match(module)), default)


def _float(tensor: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(tensor, dtype=np.float64)


def _pickled(folder: Path) -> bool:
    return (folder / "adapter_model.bin").is_file()
