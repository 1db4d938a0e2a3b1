"""Golden texts: the logits that any export of a checkpoint has to reproduce, text by text.

    write_golden(Path("checkpoints/mobilebert-imdb"))

reads the checkpoint as it is stored and writes `golden.jsonl` beside it, one object a line:
{"name", "text", "input_ids", "truncated", "logits"}. The texts are `golden_texts.jsonl` of this folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import durable

MAX_TOKENS = 512
TEXTS = Path(__file__).with_name("golden_texts.jsonl")


def golden_texts(path: Path = TEXTS) -> list[dict[str, str]]:
    """The texts, as {"name", "text"}; "repeat": n in the file stands for the text n times over."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"name": r["name"], "text": r["text"] * r.get("repeat", 1)} for r in records]


@torch.no_grad()
def golden_record(
    name: str, text: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """One text alone, unpadded, in float32, right-truncated at 512 tokens with [CLS] and [SEP]."""
    every = tokenizer(text, verbose=False)["input_ids"]
    kept = tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    logits = model(input_ids=torch.tensor([kept])).logits[0]
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
    return durable.write_text(checkpoint / "golden.jsonl", lines)
