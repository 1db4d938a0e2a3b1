"""BentoML with its adaptive batching. Runs in .venv/rival-bentoml, by settings from the environment.

CHECKPOINT (required); WORKERS, THREADS (of torch; 0: its default), BATCH (texts of a run, at most).
"""

import os
from typing import Any

import bentoml
import torch
from transformers import pipeline

WORKERS, THREADS, BATCH = (int(os.environ[name]) for name in ("WORKERS", "THREADS", "BATCH"))
# BentoML refuses batches of at most one text.
BATCHING: dict[str, Any] = {"batchable": True, "max_batch_size": BATCH, "max_latency_ms": 600_000}
if BATCH == 1:
    BATCHING = {}


@bentoml.service(name="sentiment", workers=WORKERS, traffic={"timeout": 600})
class Classifier:
    """A pipeline in each worker."""

    def __init__(self) -> None:
        if THREADS:
            torch.set_num_threads(THREADS)
        self.classify = pipeline("text-classification", model=os.environ["CHECKPOINT"], device="cpu")

    @bentoml.api(**BATCHING)
    def predict(self, texts: list[str]) -> list[str]:
        """The label of each text."""
        return [each["label"] for each in self.classify(texts, batch_size=len(texts), truncation=True)]
