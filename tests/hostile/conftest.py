"""What the server must still answer, whatever was sent to it; the reference is torch, same checkpoint."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
import torch
import tritonclient.grpc as grpcclient
from transformers import AutoTokenizer, MobileBertForSequenceClassification

from serving.launcher import TritonServer

TEXTS = (
    "A great film.",
    "Dull, and far too long; I left before the end.",
    "",
    "Ünïcode \U0001f600 <br /> ok",
)
Check = Callable[[], None]


@pytest.fixture(scope="session")
def seed() -> int:
    """HOSTILE_SEED: another one sends other requests."""
    return int(os.environ.get("HOSTILE_SEED", "20261125"))


@pytest.fixture(scope="session")
def malformed_requests() -> int:
    """HOSTILE_REQUESTS: 1,000 by default; 10,000 is the long mode."""
    return int(os.environ.get("HOSTILE_REQUESTS", "1000"))


@pytest.fixture(scope="session")
def reference(tiny_checkpoint: Path) -> Callable[[str], np.ndarray]:
    """Probabilities, float32 [labels], that transformers' own tokenizer and model give a text."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    model = MobileBertForSequenceClassification.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()

    def probabilities(text: str) -> np.ndarray:
        encoded = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            return model(**encoded).logits.softmax(-1)[0].numpy()

    return probabilities


@pytest.fixture(scope="session")
def still_right(server: TritonServer, reference: Callable[[str], np.ndarray]) -> Check:
    """Fails unless the same process is alive, ready, and answers TEXTS rightly over HTTP and gRPC."""
    expected = np.stack([reference(text) for text in TEXTS])
    process = psutil.Process(server.pid)

    def check() -> None:
        assert process.pid == server.pid, "the server was restarted"
        assert process.status() != psutil.STATUS_ZOMBIE, "the server died"
        assert requests.get(f"{server.http_url}/v2/health/ready", timeout=60).status_code == 200
        body = {"text": list(TEXTS)}
        answer = requests.post(f"{server.http_url}/v2/models/sentiment/generate", json=body, timeout=60)
        over_http = np.reshape(answer.json()["probabilities"], (len(TEXTS), -1))
        np.testing.assert_allclose(over_http, expected, atol=2e-5)
        np.testing.assert_allclose(ask_grpc(server, TEXTS), expected, atol=2e-5)

    check()
    return check


def ask_grpc(server: TritonServer, texts: tuple[str, ...]) -> np.ndarray:
    """Probabilities, float32 [texts, labels], over gRPC."""
    text = grpcclient.InferInput("text", [len(texts), 1], "BYTES")
    text.set_data_from_numpy(np.array([[each.encode()] for each in texts], np.object_))
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        return client.infer("sentiment", [text], client_timeout=60).as_numpy("probabilities")
