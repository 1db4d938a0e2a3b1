"""The oracle of export's tests: transformers' own torch model, on each text alone and unpadded."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import MobileBertForSequenceClassification

# A small model has all the parts of a large one; widths differ so that no two can be taken for each other.
SMALL = {
    "hidden_size": 96,
    "intra_bottleneck_size": 48,
    "intermediate_size": 80,
    "embedding_size": 32,
    "max_position_embeddings": 40,
    "num_attention_heads": 3,
    "num_feedforward_networks": 2,
}
TEXTS = ("", "Great film!", "a [PAD] in the middle", "not so good, not so bad " * 3, "long " * 80)


def torch_model(folder: Path) -> MobileBertForSequenceClassification:
    """The checkpoint as transformers loads it, in float32."""
    model = MobileBertForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    return model.float().eval()


def torch_logits(model: torch.nn.Module, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """[rows, labels], each row run alone."""
    with torch.no_grad():
        return np.array([model(torch.tensor([list(row)])).logits[0].double().numpy() for row in rows])


def windows_by_hand(row: Sequence[int], positions: int) -> list[list[int]]:
    """What each window of a row reads: its first id, its share of the rest, its last id."""
    if len(row) <= positions:
        return [list(row)]
    text = np.array(row[1:-1])
    count = next(n for n in range(2, len(row)) if n * (positions - 2) >= len(text))
    owner = ((np.arange(len(text)) + 1) * count - 1) // len(text)  # of each token
    return [[row[0], *text[owner == number].tolist(), row[-1]] for number in range(count)]


def long_row_logits(
    model: torch.nn.Module, rows: Sequence[Sequence[int]], positions: int
) -> NDArray[np.float64]:
    """[rows, labels]: every window through the model by itself, and the mean of each row's windows."""
    return np.array([torch_logits(model, windows_by_hand(row, positions)).mean(axis=0) for row in rows])


def edit_weights(folder: Path, edit: Callable[[torch.nn.Module], None]) -> Path:
    """Apply `edit` to the checkpoint's torch model and save it again."""
    model = torch_model(folder)
    with torch.no_grad():
        edit(model)
    model.save_pretrained(folder)
    return folder


def write_golden(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    """Write golden.jsonl from the torch model."""
    model = torch_model(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    limit = 4096
    lines = []
    for index, text in enumerate(texts):
        full = tokenizer.encode(text).ids
        ids = full if len(full) <= limit else [*full[: limit - 1], full[-1]]
        logits = long_row_logits(model, [ids], model.config.max_position_embeddings)[0].tolist()
        truncated = len(full) > limit
        row = {
            "name": f"text {index}",
            "text": text,
            "input_ids": ids,
            "truncated": truncated,
            "logits": logits,
        }
        lines.append(json.dumps(row) + "\n")
    (folder / "golden.jsonl").write_text("".join(lines))
    return folder
