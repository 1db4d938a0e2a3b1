import numpy as np
import onnxruntime
import pytest

from benchmarks.load.callers import padded_caller
from benchmarks.measure.triton_stats import read_stats


def test_padded_graph_gives_torchs_logits_beside_longer_texts(bench_repository, bench_checkpoint) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(bench_checkpoint, dtype=torch.float32).eval()
    rows = [[2, 9, 10, 3], [2, 11, 12, 13, 14, 15, 3]]
    ids = np.array([row + [0] * (7 - len(row)) for row in rows])
    session = onnxruntime.InferenceSession(bench_repository / "padded_fp32" / "1" / "model.onnx")
    logits = session.run(None, {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)})[0]
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([row])).logits[0].numpy() for row in rows]
    np.testing.assert_allclose(logits, np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("model", ["padded", "padded_unbatched"])
def test_padded_rival_on_triton_gives_torchs_labels(arena, model, texts, torch_labels) -> None:
    caller = padded_caller(arena.triton.http_url, model, ["negative", "positive"])
    assert [caller([text])[0] for text in texts] == torch_labels
    assert caller(texts) == torch_labels


def test_padded_rival_batches_requests_of_different_lengths(arena, texts) -> None:
    from concurrent.futures import ThreadPoolExecutor

    caller = padded_caller(arena.triton.http_url, "padded", ["negative", "positive"])
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda i: caller([texts[i % 4]]), range(64)))
    stats = read_stats(arena.triton.http_url, "padded_fp32")
    assert stats.executions < stats.rows
