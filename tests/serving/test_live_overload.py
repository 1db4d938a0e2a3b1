"""More than the live server can answer: right, or refused at once; and afterwards as if nothing had been."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.load.open_loop import BUSY, Sent, answers_alone, open_loop
from benchmarks.measure.processes import memory_mib
from clients import Limits, Sentiment, SentimentClient
from clients.endpoint import Protocol
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from serving.launcher import TritonServer
from tests.waiting import until

TEXTS = [" ".join(["A warm, funny and clever film."] * count) for count in (1, 3, 10, 40, 60)]
SECONDS, LIMIT = 4.0, "0.25"
REPORTED_S = 0.5  # the backend updates its metrics so often


@pytest.fixture(scope="module")
def small_queue(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server whose model lets a quarter of a second of work wait. `sentiment_fast` has a copy of it that
    lets the usual two seconds wait."""
    repository = tmp_path_factory.mktemp("overload") / "models"
    checkpoint = load_checkpoint(tiny_checkpoint)
    models = dict.fromkeys(("mobilebert_fp32", "mobilebert_int8"), build_fp32(checkpoint))
    publish(checkpoint, repository, models)
    path = repository / "mobilebert_fp32" / "config.pbtxt"
    config = path.read_text()
    limited = re.sub(r'("max_queue_seconds"\s+value \{\s+string_value: )"2"', rf'\1"{LIMIT}"', config)
    assert limited != config
    path.write_text(limited)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    ensembles = ("sentiment", "sentiment_fast")
    with TritonServer(repository, load_models=ensembles, log=lambda line: None, **ports) as live:
        yield live


def metric(server: TritonServer, name: str, model: str = "") -> float:
    """Of all models, or of one."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        lines = page.read().decode().splitlines()
    mine = [line for line in lines if line.startswith(f"{name}{{") and f'model="{model}' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in mine)


def ended_early(server: TritonServer) -> float:
    """Requests that came to the tokenizer and to no model. Triton counts those that are refused, too."""
    models = ("mobilebert_tokenizer", "mobilebert_fp32", "mobilebert_int8")
    all_of_them, *later = (metric(server, "nv_inference_request_success", model) for model in models)
    return all_of_them - sum(later)


def test_an_overload_is_answered_rightly_or_refused_and_leaves_nothing_behind(
    small_queue: TritonServer,
) -> None:
    url = f"{small_queue.http_url}/v2/models/sentiment/infer"
    expected = asyncio.run(answers_alone(url, [(text, len(text)) for text in TEXTS]))
    before = memory_mib(small_queue.pid)
    sent = asyncio.run(open_loop(url, expected, 500.0, SECONDS))
    kinds = Counter(each.kind for each in sent)
    assert kinds.keys() <= {"right", "refused"}
    assert kinds["right"] > 20
    assert kinds["refused"] > 20
    assert memory_mib(small_queue.pid) < before + 200
    again = asyncio.run(answers_alone(url, [(text, len(text)) for text in TEXTS]))
    assert [each.label for each in again] == [each.label for each in expected]


def test_the_tokenizer_refuses_for_the_model_that_is_busy_and_for_no_other(small_queue: TritonServer) -> None:
    """Every refusal is counted once, wherever it was said."""
    server = small_queue
    urls = [f"{server.http_url}/v2/models/{name}/infer" for name in ("sentiment", "sentiment_fast")]
    alone = [asyncio.run(answers_alone(url, [(text, len(text)) for text in TEXTS])) for url in urls]
    time.sleep(2 * REPORTED_S)
    refused = metric(server, "onnxruntime_refused", "mobilebert_fp32")
    before = ended_early(server)

    async def both() -> list[list[Sent]]:
        loads = zip(urls, alone, (500.0, 4.0), strict=True)
        return await asyncio.gather(*(open_loop(*load, SECONDS) for load in loads))

    flood, beside = asyncio.run(both())
    assert {each.kind for each in beside} == {"right"}
    kinds = Counter(each.kind for each in flood)
    assert kinds.keys() == {"right", "refused"}
    counted = refused + kinds["refused"]
    until(lambda: metric(server, "onnxruntime_refused", "mobilebert_fp32") == counted, 30)
    assert metric(server, "onnxruntime_refused", "mobilebert_int8") == 0
    assert kinds["refused"] / 2 < ended_early(server) - before < kinds["refused"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_sdk_clients_drain_more_than_the_queue_holds_and_lose_nothing(
    small_queue: TritonServer, protocol: Protocol
) -> None:
    """Sixteen clients at once: refused again and again, answered in the end."""
    url = small_queue.http_url if protocol == "http" else small_queue.grpc_url
    infer = f"{small_queue.http_url}/v2/models/sentiment/infer"
    alone = asyncio.run(answers_alone(infer, [(text, len(text)) for text in TEXTS]))
    refused = metric(small_queue, "onnxruntime_refused")

    def drain(number: int) -> list[Sentiment]:
        with SentimentClient(url, protocol, limits=Limits(batch_size=1, max_in_flight=16)) as client:
            return client.classify(TEXTS * 3)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(drain, range(16)))
    for found in answers:
        assert [each.label for each in found] == [each.label for each in alone] * 3
        assert [each.score for each in found] == pytest.approx([each.score for each in alone] * 3, abs=1e-4)
    until(lambda: metric(small_queue, "onnxruntime_refused") >= refused + 50)


def test_refusals_are_counted_by_reason_and_nothing_waits_at_the_end(small_queue: TritonServer) -> None:
    until(lambda: metric(small_queue, "onnxruntime_refused") > 0)
    for what in ("requests", "tokens"):
        until(lambda what=what: metric(small_queue, f"onnxruntime_queue_{what}") == 0)


def test_the_front_doors_say_busy_each_in_its_way(small_queue: TritonServer) -> None:
    """A list that waits for a list: /infer says 503, /generate can say nothing but 400."""
    found: dict[str, set[int]] = {"infer": set(), "generate": set()}

    async def storm() -> None:
        import aiohttp

        long = TEXTS[-1]
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [long]}
        bodies = {"infer": {"inputs": [tensor]}, "generate": {"text": long}}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(kind: str) -> None:
                url = f"{small_queue.http_url}/v2/models/sentiment/{kind}"
                async with session.post(url, data=json.dumps(bodies[kind])) as response:
                    answer = await response.text()
                if response.status != 200:
                    assert BUSY.search(answer), answer
                    found[kind].add(response.status)

            await asyncio.gather(*(one(kind) for _ in range(200) for kind in bodies))

    asyncio.run(storm())
    assert found == {"infer": {503}, "generate": {400}}
