"""The largest request that there is: 64 texts of 4,096 tokens. Served, and in little memory."""

import numpy as np
import requests

from benchmarks.measure.sampler import Sampler
from serving.launcher import TritonServer

ROWS, MAX_TOKENS = 64, 4096
# A row of 4,096 tokens takes some 60 MiB (docs/explanations/long_documents.md), and a core runs one at a
# time; all rows in one run would take 3 GiB and more.
ALLOWED_MIB = 600


def ask(server: TritonServer, texts: list[str]) -> dict[str, np.ndarray]:
    reply = requests.post(
        f"{server.http_url}/v2/models/sentiment/generate", json={"text": texts}, timeout=300
    )
    assert reply.status_code == 200, reply.text
    return {name: np.array(value) for name, value in reply.json().items() if isinstance(value, list)}


def test_64_texts_of_4096_tokens_are_served_in_one_request_and_in_little_memory(server: TritonServer) -> None:
    texts = [f"{number} {'good bad film story ' * 1024}" for number in range(ROWS)]
    alone = ask(server, texts[:2])
    sampler = Sampler(server.pid)
    with sampler:
        together = ask(server, texts)
    assert together["num_tokens"].tolist() == [MAX_TOKENS] * ROWS
    assert together["num_windows"].tolist() == [9] * ROWS
    np.testing.assert_allclose(together["probabilities"][:4], alone["probabilities"], atol=1e-4)
    assert sampler.peak - sampler.start < ALLOWED_MIB
