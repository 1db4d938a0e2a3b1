"""Reads a Hugging Face MobileBERT checkpoint folder: safetensors only, never a pickle, no torch.

checkpoint = load_checkpoint("checkpoints/mobilebert-imdb")
checkpoint.config.labels          # ("negative", "positive")
checkpoint.weights["classifier.weight"].shape
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.config import ModelConfig, parse_config
from export.errors import CheckpointError
from export.tensor_files import check_tensor_file
from export.tokenizer_files import check_tokenizer_file
from export.untrusted import (
    MAX_CONFIG_BYTES,
    MAX_GOLDEN_BYTES,
    MAX_TOKENIZER_BYTES,
    check_numbers,
    member,
    parse_json,
    read_json,
    read_text,
)

__all__ = ["Checkpoint", "CheckpointError", "Golden", "checkpoint_hash", "load_checkpoint"]

_REQUIRED_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_OPTIONAL_FILES = ("golden.jsonl", "activation_ranges.safetensors")


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
    unk_token_id: the id that stands for ids outside the vocabulary.
    """

    folder: Path
    config: ModelConfig
    weights: Mapping[str, NDArray[np.float32]]
    golden: tuple[Golden, ...]
    ranges: Mapping[str, NDArray[np.float32]]
    unk_token_id: int
    sha256: str

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read and validate the checkpoint in `folder`; fp16 and bf16 weights are upcast to float32.

    Raises:
        CheckpointError: a file is missing or damaged, or its contents are not supported.
    """
    folder = Path(folder)
    _require_files(folder)
    raw = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    check_numbers(raw, "config.json")
    config = parse_config(raw)
    check_tokenizer_file(folder / "tokenizer.json")
    return Checkpoint(
        folder=folder,
        config=config,
        weights=_read_weights(folder / "model.safetensors", config),
        golden=_read_golden(folder / "golden.jsonl", config),
        ranges=_read_ranges(folder / "activation_ranges.safetensors"),
        unk_token_id=_read_unk_token_id(folder / "tokenizer.json", config),
        sha256=checkpoint_hash(folder),
    )


def checkpoint_hash(folder: str | Path) -> str:
    """SHA-256 (hex) over the names and contents of the files that export reads.

    Raises:
        CheckpointError: the folder or one of the files that export needs is missing.
    """
    folder = Path(folder)
    _require_files(folder)
    digest = hashlib.sha256()
    for name in (*_REQUIRED_FILES, *_OPTIONAL_FILES):
        path = folder / name
        if path.exists():
            with path.open("rb") as file:
                digest.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def expected_shapes(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the parameters that the graph reads, as transformers names them."""
    c, base = config, "mobilebert.embeddings"
    yield f"{base}.word_embeddings.weight", (c.vocab_size, c.embedding_size)
    yield f"{base}.position_embeddings.weight", (c.max_position_embeddings, c.hidden_size)
    yield f"{base}.token_type_embeddings.weight", (c.type_vocab_size, c.hidden_size)
    if c.transforms_embeddings:
        width = c.embedding_size * (3 if c.trigram_input else 1)
        yield from _dense(f"{base}.embedding_transformation", c.hidden_size, width)
    yield from _norm(f"{base}.LayerNorm", c.hidden_size)
    for index in range(c.num_hidden_layers):
        yield from _layer_shapes(config, f"mobilebert.encoder.layer.{index}")
    if c.classifier_activation:
        yield from _dense("mobilebert.pooler.dense", c.hidden_size, c.hidden_size)
    yield from _dense("classifier", len(c.labels), c.hidden_size)


def _layer_shapes(config: ModelConfig, base: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, narrow, middle = config.hidden_size, config.intra_bottleneck_size, config.intermediate_size
    bottlenecks = ["input", "attention"] if config.key_query_shared_bottleneck else ["input"]
    for bottleneck in bottlenecks:
        yield from _dense(f"{base}.bottleneck.{bottleneck}.dense", narrow, wide)
        yield from _norm(f"{base}.bottleneck.{bottleneck}.LayerNorm", narrow)
    yield from _dense(f"{base}.attention.self.query", narrow, narrow)
    yield from _dense(f"{base}.attention.self.key", narrow, narrow)
    yield from _dense(
        f"{base}.attention.self.value", narrow, narrow if config.use_bottleneck_attention else wide
    )
    yield from _dense(f"{base}.attention.output.dense", narrow, narrow)
    yield from _norm(f"{base}.attention.output.LayerNorm", narrow)
    for block in [f"{base}.ffn.{i}" for i in range(config.num_feedforward_networks - 1)] + [base]:
        yield from _dense(f"{block}.intermediate.dense", middle, narrow)
        yield from _dense(f"{block}.output.dense", narrow, middle)
        yield from _norm(f"{block}.output.LayerNorm", narrow)
    yield from _dense(f"{base}.output.bottleneck.dense", wide, narrow)
    yield from _norm(f"{base}.output.bottleneck.LayerNorm", wide)


def _dense(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _require_files(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such folder; train a checkpoint or name one (--checkpoint, make CHECKPOINT=)"
        )
    if not (folder / "model.safetensors").exists() and any(folder.glob("*.bin")):
        raise CheckpointError(
            f"{folder}: only pickled weights (*.bin), which are never loaded; save the model again with "
            "save_pretrained(folder, safe_serialization=True)"
        )
    for name in _REQUIRED_FILES:
        if not member(folder, name).is_file():
            raise CheckpointError(
                f"{folder}: {name} is missing; save model and fast tokenizer with save_pretrained"
            )
    for name in _OPTIONAL_FILES:
        member(folder, name)


def _read_weights(path: Path, config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    stored, weights = _read_safetensors(path), {}
    for name, shape in expected_shapes(config):
        if name not in stored:
            raise CheckpointError(f"{path}: {name} is missing, though config.json asks for it")
        weight = np.asarray(stored[name], dtype=np.float32)
        if weight.shape != shape:
            raise CheckpointError(
                f"{path}: {name} has shape {list(weight.shape)}; config.json says {list(shape)}"
            )
        if not np.isfinite(weight).all():
            raise CheckpointError(f"{path}: {name} holds non-finite values; train or download it again")
        weights[name] = weight
    return weights


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    check_tensor_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); save or download it again") from error


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
    return _read_safetensors(path) if path.exists() else {}


def _read_unk_token_id(path: Path, config: ModelConfig) -> int:
    model = read_json(path, MAX_TOKENIZER_BYTES).get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        return config.pad_token_id
    unk_id = model["vocab"].get(model.get("unk_token"), config.pad_token_id)
    return unk_id if unk_id < config.vocab_size else config.pad_token_id
