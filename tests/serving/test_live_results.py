"""Whatever a text is batched with, its answer is transformers' answer to that text alone."""

import random
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient

from serving.launcher import TritonServer
from tests.conftest import publish_fp32
from tests.reviews import ROOT, load_reviews, reference

SHIPPED = ROOT / "checkpoints" / "mobilebert-imdb"
TOLERANCE = 1e-4
CLIENTS = threading.local()


@dataclass(frozen=True)
class Truth:
    """500 reviews, their ids and torch's logits, and a server of the same checkpoint."""

    server: TritonServer
    texts: list[str]
    ids: list[list[int]]
    logits: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        exponentials = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def truth(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    texts = load_reviews(500)
    checkpoint = SHIPPED if (SHIPPED / "model.safetensors").exists() else tiny_checkpoint
    repository = publish_fp32(checkpoint, tmp_path_factory.mktemp("truth") / "models")
    ids, logits = reference(checkpoint, texts)
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        yield Truth(server, texts, ids, logits)


def client(server: TritonServer) -> httpclient.InferenceServerClient:
    """One for each thread: the client is not thread-safe."""
    url = server.http_url.removeprefix("http://")
    if getattr(CLIENTS, "url", "") != url:
        CLIENTS.url, CLIENTS.client = url, httpclient.InferenceServerClient(url, network_timeout=120)
    return CLIENTS.client


def logits_of(server: TritonServer, rows: list[list[int]]) -> np.ndarray:
    """Logits of one request, rows padded with 0 to its longest."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    tensor = httpclient.InferInput("input_ids", padded.shape, "INT64")
    tensor.set_data_from_numpy(padded)
    return client(server).infer("mobilebert_fp32", [tensor]).as_numpy("logits")


def classify(server: TritonServer, texts: list[str]) -> httpclient.InferResult:
    tensor = httpclient.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], np.object_))
    return client(server).infer("sentiment", [tensor])


def random_groups(count: int, sizes: Iterable[int], seed: int) -> list[list[int]]:
    """A random partition of range(count) into groups whose sizes are drawn from `sizes`."""
    generator = random.Random(seed)
    order, groups, choices = generator.sample(range(count), count), [], list(sizes)
    while order:
        size = generator.choice(choices)
        groups.append(order[:size])
        order = order[size:]
    return groups


def test_logits_alone(truth: Truth) -> None:
    logits = np.concatenate([logits_of(truth.server, [row]) for row in truth.ids])
    np.testing.assert_allclose(logits, truth.logits, atol=TOLERANCE, rtol=0)


def test_logits_in_requests_of_many_rows(truth: Truth) -> None:
    for group in random_groups(len(truth.ids), (2, 5, 17, 64), seed=1):
        logits = logits_of(truth.server, [truth.ids[number] for number in group])
        np.testing.assert_allclose(logits, truth.logits[group], atol=TOLERANCE, rtol=0)


def test_answers_to_concurrent_clients_are_right_and_their_own(truth: Truth) -> None:
    def check(group: list[int]) -> None:
        result = classify(truth.server, [truth.texts[number] for number in group])
        expected = truth.probabilities[group]
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected, atol=TOLERANCE, rtol=0)
        assert result.as_numpy("num_tokens").ravel().tolist() == [len(truth.ids[number]) for number in group]

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(check, random_groups(len(truth.texts), (1, 1, 1, 2, 3), seed=2)))
    assert largest_batch(truth.server) > 3, "the requests never shared a batch, so nothing was tested"


def largest_batch(server: TritonServer) -> int:
    statistics = client(server).get_inference_statistics("mobilebert_fp32")["model_stats"][0]
    executions = statistics["inference_count"] / statistics["execution_count"]
    return max([each["batch_size"] for each in statistics["batch_stats"]], default=int(executions))


def test_an_all_padding_row_never_reads_its_neighbour(truth: Truth) -> None:
    pads, neighbours = [0] * 7, [truth.ids[0][:7], truth.ids[1][:7]]
    alone = logits_of(truth.server, [pads])
    batch = logits_of(truth.server, [neighbours[0], pads, neighbours[1]])
    np.testing.assert_allclose(batch[1:2], alone, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(batch[[0, 2]], logits_of(truth.server, neighbours), atol=TOLERANCE, rtol=0)
