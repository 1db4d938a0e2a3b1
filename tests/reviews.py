"""Real reviews for tests, and what transformers says of them."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
IMDB_DATA = Path(os.environ.get("IMDB_DATA", ROOT / ".." / "shared" / "data" / "imdb"))


def load_reviews(count: int, seed: int = 0) -> list[str]:
    """Random reviews of IMDB's test set; skips the test where the data is missing."""
    path = IMDB_DATA / "test.parquet"
    if not path.is_file():
        pytest.skip(f"no reviews: {path} is missing, set IMDB_DATA to the folder that holds it")
    import pyarrow.parquet as pq

    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
    return random.Random(seed).sample(texts, count)


def reference(checkpoint: Path, texts: list[str]) -> tuple[list[list[int]], np.ndarray]:
    """Token ids cut at 4,096, and torch's float32 logits [texts, labels]: each text alone and unpadded, the
    mean of its windows where it has several."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from tests.export.oracle import long_row_logits

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    ids = tokenizer(texts, truncation=True, max_length=4096)["input_ids"]
    return ids, long_row_logits(model, ids, model.config.max_position_embeddings).astype(np.float32)
