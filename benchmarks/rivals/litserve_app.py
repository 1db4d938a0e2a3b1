"""LitServe with its own batching. Runs in .venv/rival-litserve, by settings from the environment.

CHECKPOINT, PORT (required); WORKERS, THREADS (of torch; 0: its default), BATCH (texts of a run, at most).
"""

import os
from typing import Any

import litserve
import torch
from transformers import pipeline

CHECKPOINT, PORT = os.environ["CHECKPOINT"], int(os.environ["PORT"])
WORKERS, THREADS, BATCH = (int(os.environ[name]) for name in ("WORKERS", "THREADS", "BATCH"))
# LitServe's own example waits so long for a batch to fill.
WAIT_S = 0.05


class Classifier(litserve.LitAPI):
    """A pipeline in each worker; LitServe hands it a list where it batches, else one text."""

    def setup(self, device: str) -> None:
        if THREADS:
            torch.set_num_threads(THREADS)
        self.classify = pipeline("text-classification", model=CHECKPOINT, device="cpu")

    def decode_request(self, request: dict[str, str]) -> str:
        return request["query"]

    def predict(self, texts: Any) -> Any:
        rows = [texts] if isinstance(texts, str) else texts
        answers = self.classify(rows, batch_size=len(rows), truncation=True)
        return answers[0] if isinstance(texts, str) else answers

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        return {"prediction": answer["label"], "score": answer["score"]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=WAIT_S if BATCH > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, timeout=600)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
