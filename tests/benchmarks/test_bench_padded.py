from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.callers import padded_caller, triton_caller
from benchmarks.rivals.padded_models import add_padded_models
from benchmarks.triton_stats import read_stats
from serving.launcher import TritonServer


@pytest.fixture(scope="module")
def padded_repository(padded_checkpoint: Path, tmp_path_factory) -> Path:
    repository = tmp_path_factory.mktemp("padded")
    add_padded_models(padded_checkpoint, repository)
    return repository


@pytest.fixture(scope="module")
def padded_server(padded_repository: Path):
    with TritonServer(padded_repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        yield server


def test_padded_graph_gives_torchs_logits_beside_longer_texts(padded_repository, padded_checkpoint) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(padded_checkpoint, dtype=torch.float32).eval()
    rows = [[2, 9, 10, 3], [2, 11, 12, 13, 14, 15, 3]]
    ids = np.array([row + [0] * (7 - len(row)) for row in rows])
    session = onnxruntime.InferenceSession(padded_repository / "padded_fp32" / "1" / "model.onnx")
    logits = session.run(None, {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)})[0]
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([row])).logits[0].numpy() for row in rows]
    np.testing.assert_allclose(logits, np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("model", ["padded", "padded_unbatched"])
def test_padded_rival_on_triton_gives_torchs_labels(padded_server, model, texts, torch_labels) -> None:
    caller = padded_caller(padded_server.http_url, model, ["negative", "positive"])
    assert [caller([text])[0] for text in texts] == torch_labels
    assert caller(texts) == torch_labels


def test_padded_rival_batches_requests_of_different_lengths(padded_server, texts) -> None:
    from concurrent.futures import ThreadPoolExecutor

    caller = padded_caller(padded_server.http_url, "padded", ["negative", "positive"])
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda i: caller([texts[i % 4]]), range(64)))
    stats = read_stats(padded_server.http_url, "padded_fp32")
    assert stats.executions < stats.rows


def test_our_model_gives_torchs_labels_too(server, texts, tiny_labels) -> None:
    assert triton_caller(server.http_url, "sentiment")(texts) == tiny_labels
