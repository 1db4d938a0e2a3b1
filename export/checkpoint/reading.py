"""Reads a Hugging Face MobileBERT checkpoint folder: safetensors only, never a pickle, no torch.

checkpoint = load_checkpoint("checkpoints/mobilebert-imdb")
checkpoint.config.labels          # ("negative", "positive")
checkpoint.weights["classifier.weight"].shape

Weights and tokenizer come in several forms of files (see `weights`, `adapters`, `tokenizer_sources`). The
result is the same `Checkpoint`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.adapters import adapter_files, base_folder, classifier_rows, is_adapter, merge_adapter
from export.checkpoint.config import ModelConfig, parse_config
from export.checkpoint.tokenizer_sources import TOKENIZER, read_tokenizer, tokenizer_files
from export.checkpoint.untrusted import (
    MAX_CONFIG_BYTES,
    MAX_GOLDEN_BYTES,
    check_numbers,
    member,
    parse_json,
    read_json,
    read_text,
)
from export.checkpoint.weights import RANGES_FILE, open_weights, read_tensors, read_weights, weight_files
from export.errors import CheckpointError

_CONFIG = "config.json"
GOLDEN_FILE = "golden.jsonl"
_OPTIONAL_FILES = (GOLDEN_FILE, RANGES_FILE)


@dataclass(frozen=True)
class Golden:
    """A text with the logits that torch gave it in float32, alone and without padding."""

    name: str
    text: str
    input_ids: tuple[int, ...]
    truncated: bool
    logits: tuple[float, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    weights: transformers' parameter names -> float32 arrays, complete and of the right shapes.
    golden: the reference texts that ship with the checkpoint; empty when it has none.
    ranges: `<module>:input` / `<module>:output` -> float32 [quantiles, channels]; empty when it has none.
    tokenizer_json: the content of its tokenizer.json, or of one that was made from its other files.
    unk_token_id: the id that stands for ids outside the vocabulary.
    notes: a sentence for each thing that was not read as the folder has it.
    """

    folder: Path
    config: ModelConfig
    weights: Mapping[str, NDArray[np.float32]]
    golden: tuple[Golden, ...]
    ranges: Mapping[str, NDArray[np.float32]]
    tokenizer_json: bytes
    unk_token_id: int
    sha256: str
    notes: tuple[str, ...] = ()


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read and validate the checkpoint in `folder`; fp16 and bf16 weights are upcast to float32.

    Of a LoRA adapter the result is its base with the adapter merged in. The base is a folder on this machine.

    Raises:
        CheckpointError: a file is missing or damaged, or its contents are not supported.
    """
    folder, base = _folders(folder)
    raw, said = _raw_config(folder, base)
    config = parse_config(raw)
    weights = open_weights(base)
    if folder != base:
        weights = merge_adapter(folder, weights)
    tokenizer, tokenizer_notes = read_tokenizer(_tokenizer_folder(folder, base))
    return Checkpoint(
        folder=folder,
        config=config,
        weights=read_weights(weights, config),
        golden=_read_golden(member(folder, GOLDEN_FILE), config),
        ranges=_read_ranges(member(folder, RANGES_FILE)),
        tokenizer_json=tokenizer,
        unk_token_id=_unk_token_id(tokenizer, config),
        sha256=checkpoint_hash(folder),
        notes=(*weights.notes, *tokenizer_notes, *said, *_beyond(tokenizer, config)),
    )


def checkpoint_hash(folder: str | Path) -> str:
    """SHA-256 (hex) over the names and contents of the files that export reads.

    Raises:
        CheckpointError: the folder or one of the files that export needs is missing.
    """
    folder, base = _folders(folder)
    digest = hashlib.sha256()
    for path in _files(folder, base):
        try:
            with path.open("rb") as file:
                digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise CheckpointError(f"{folder}: {path.name} cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _folders(folder: str | Path) -> tuple[Path, Path]:
    """The folder, and the folder of the weights: the base of an adapter, or the same folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such folder; train a checkpoint or name one (--checkpoint, make CHECKPOINT=)"
        )
    return folder, base_folder(folder) if is_adapter(folder) else folder


def _files(folder: Path, base: Path) -> Iterator[Path]:
    """Every file that `load_checkpoint` reads."""
    if folder != base:
        yield from adapter_files(folder)
    configs = [each / _CONFIG for each in dict.fromkeys((folder, base))]
    yield from [path for path in configs if path.is_file()] or [_config_path(base)]
    yield from weight_files(base)
    yield from tokenizer_files(_tokenizer_folder(folder, base))
    yield from (path for name in _OPTIONAL_FILES if (path := member(folder, name)).exists())


def _tokenizer_folder(folder: Path, base: Path) -> Path:
    """An adapter may bring a tokenizer of its own."""
    own = (TOKENIZER, "vocab.txt")
    return folder if any((folder / name).is_file() for name in own) else base


def _raw_config(folder: Path, base: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parsed config.json. An adapter's own head decides how many labels there are, not its base."""
    path = _config_path(folder if (folder / _CONFIG).exists() else base)
    raw = read_json(path, MAX_CONFIG_BYTES)
    check_numbers(raw, path.name)
    if folder == base:
        return raw, ()
    adapter_files(folder)
    rows = classifier_rows(folder)
    raw = {key: value for key, value in raw.items() if key != "architectures"}
    if rows is None or len(raw.get("id2label") or range(raw.get("num_labels") or 2)) == rows:
        return raw, ()
    raw = {key: value for key, value in raw.items() if key not in ("id2label", "label2id")}
    note = f"the adapter's labels have no names; put a config.json with id2label into {folder}"
    return {**raw, "num_labels": rows}, (note,)


def _config_path(folder: Path) -> Path:
    path = member(folder, _CONFIG)
    if not path.is_file():
        raise CheckpointError(f"{folder}: {_CONFIG} is missing; save the model with save_pretrained")
    return path


def _read_golden(path: Path, config: ModelConfig) -> tuple[Golden, ...]:
    if not path.exists():
        return ()
    lines = read_text(path, MAX_GOLDEN_BYTES).split("\n")
    rows = [parse_json(line, path) for line in lines if line.strip()]
    try:
        golden = tuple(
            Golden(row["name"], row["text"], tuple(row["input_ids"]), row["truncated"], tuple(row["logits"]))
            for row in rows
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}); write it again or delete it") from error
    if not golden:
        raise CheckpointError(f"{path} is empty; write it again or delete it")
    if any(len(row.logits) != len(config.labels) for row in golden):
        raise CheckpointError(f"{path}: logits do not match the {len(config.labels)} labels of config.json")
    return golden


def _read_ranges(path: Path) -> dict[str, NDArray[np.float32]]:
    return read_tensors(path) if path.exists() else {}


def _beyond(tokenizer: bytes, config: ModelConfig) -> list[str]:
    """A sentence on tokens that were added to the tokenizer but not to the model's embeddings."""
    parsed = json.loads(tokenizer)
    ids = {each["id"] for each in parsed.get("added_tokens") or []} | set(parsed["model"]["vocab"].values())
    count = sum(number >= config.vocab_size for number in ids)
    unknown = (
        f"{count} of the tokenizer's tokens lie beyond vocab_size {config.vocab_size:,} and become [UNK]"
    )
    return [unknown] if count else []


def _unk_token_id(tokenizer: bytes, config: ModelConfig) -> int:
    model = json.loads(tokenizer).get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        return config.pad_token_id
    unk_id = model["vocab"].get(model.get("unk_token"), config.pad_token_id)
    return unk_id if unk_id < config.vocab_size else config.pad_token_id
