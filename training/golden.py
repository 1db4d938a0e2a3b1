"""Golden texts: the logits that any export of a checkpoint has to reproduce, text by text.

    write_golden(Path("checkpoints/mobilebert-imdb"))

reads the checkpoint as it is stored and writes `golden.jsonl` beside it, one object a line:
{"name", "text", "input_ids", "truncated", "logits"}. The texts are `golden_texts.jsonl` of this folder. A
text over 512 tokens is read in windows, one forward each, and has the mean of their logits. As a command:

    python -m training.golden checkpoints/mobilebert-imdb
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import durable
from training.long_texts import MAX_TOKENS, mean_logits, windows

GOLDEN_FILE = "golden.jsonl"
TEXTS = Path(__file__).with_name("golden_texts.jsonl")


def golden_texts(path: Path = TEXTS) -> list[dict[str, str]]:
    """The texts, as {"name", "text"}; "repeat": n in the file means n times the text, then "end"."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"name": r["name"], "text": r["text"] * r.get("repeat", 1) + r.get("end", "")} for r in records]


@torch.no_grad()
def golden_record(
    name: str, text: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """One text alone, unpadded, in float32, as serving reads it: up to 4,096 tokens with [CLS] and [SEP]."""
    every = tokenizer(text, verbose=False)["input_ids"]
    kept = tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    parts = windows(kept, model.config.max_position_embeddings)
    of_parts = np.stack([model(input_ids=torch.tensor([part])).logits[0].numpy() for part in parts])
    logits = mean_logits(of_parts, [len(parts)])[0]
    return {
        "name": name,
        "text": text,
        "input_ids": kept,
        "truncated": len(every) > len(kept),
        "logits": logits.tolist(),
    }


def write_golden(checkpoint: Path) -> Path:
    """Write `checkpoint`/golden.jsonl from the stored weights, upcast to float32. Returns its path."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    records = [golden_record(item["name"], item["text"], model, tokenizer) for item in golden_texts()]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return durable.write_text(checkpoint / GOLDEN_FILE, lines)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(write_golden(Path(folder)))
