"""The clients against the real Triton: every way of asking gives the same answer, for every kind of text."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from clients import (
    AsyncSentimentClient,
    InvalidText,
    Limits,
    ModelNotFound,
    Sentiment,
    SentimentClient,
    ServerUnavailable,
    UnsuitableModel,
)
from clients.endpoint import Protocol
from serving.launcher import TritonServer

ODD_TEXTS = [
    "",
    " ",
    "\n\t",
    "a\x00b",
    "naïve café",
    "Отличный фильм",
    "最高の映画だった",
    "فيلم رائع",
    "👍🏽👨‍👩‍👧 😀",
    "e\u0301 \u202e reversed",
    "<br /><b>bold</b> &amp;",
    '{"text": "not JSON to anyone"}',
    "[CLS] [SEP] [PAD] [MASK]",
    "word " * 3000,
    "x" * 100_000,
]
FILMS = [f"{opinion} film number {number}" for number, opinion in enumerate(["great", "bad", "so so"] * 40)]


def close_to(expected: Sentiment) -> Sentiment:
    """Equal but for rounding, which may differ with the batch."""
    probabilities = pytest.approx(expected.probabilities, abs=1e-4)
    score = pytest.approx(expected.score, abs=1e-4)
    return replace(expected, score=score, probabilities=probabilities)


@pytest.fixture
def url(server: TritonServer, protocol: Protocol) -> str:
    return server.http_url if protocol == "http" else server.grpc_url


@pytest.fixture
def client(url: str, protocol: Protocol) -> Iterator[SentimentClient]:
    with SentimentClient(url, protocol) as client:
        yield client


@pytest.fixture(scope="module")
def generated(server: TritonServer) -> dict[str, Sentiment]:
    """What /generate says to each text alone, by plain JSON: nothing of `clients` is used."""
    answers = {}
    for text in ODD_TEXTS + FILMS:
        url = f"{server.http_url}/v2/models/sentiment/generate"
        found = requests.post(url, json={"text": text}, timeout=60).json()
        fields = {name: found[name] for name in ("label", "score", "num_tokens", "truncated", "num_windows")}
        answers[text] = Sentiment(**fields, probabilities=tuple(found["probabilities"]))
    return answers


def test_sentiment_is_complete_and_consistent(client: SentimentClient):
    for found in client.classify(FILMS[:5]):
        assert found.score == max(found.probabilities)
        assert sum(found.probabilities) == pytest.approx(1.0, abs=1e-5)
        assert found.label in ("negative", "positive")
        assert found.num_tokens > 2
        assert found.truncated is False


def test_odd_texts_get_the_answer_of_plain_json(client, generated):
    assert client.classify(ODD_TEXTS) == [close_to(generated[text]) for text in ODD_TEXTS]


def test_long_texts_are_read_in_windows_and_cut_only_beyond_the_longest(client):
    found = client.classify(["good " * words for words in (510, 511, 3000, 5000)])
    assert [(each.num_tokens, each.num_windows, each.truncated) for each in found] == [
        (512, 1, False),
        (513, 2, False),
        (3002, 6, False),
        (4096, 9, True),
    ]


def test_answers_follow_the_order_of_the_texts_in_every_grouping(url, protocol, generated):
    texts = FILMS + ODD_TEXTS[:10]
    random.Random(3).shuffle(texts)
    for batch_size, window in itertools.product([1, 7, None], [13, 512]):
        limits = Limits(batch_size=batch_size, window=window)
        with SentimentClient(url, protocol, limits=limits) as client:
            assert client.classify(texts) == [close_to(generated[text]) for text in texts]


def test_concurrent_threads_get_their_own_answers(client, generated):
    def ask(seed: int) -> None:
        texts = random.Random(seed).sample(FILMS, 25)
        assert client.classify(texts) == [close_to(generated[text]) for text in texts]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(16)))


async def test_concurrent_tasks_get_their_own_answers(url, protocol, generated):
    async with AsyncSentimentClient(url, protocol) as client:
        lists = [random.Random(seed).sample(FILMS, 25) for seed in range(8)]
        answers = await asyncio.gather(*map(client.classify, lists))
    for texts, answer in zip(lists, answers, strict=True):
        assert answer == [close_to(generated[text]) for text in texts]


def test_no_texts_give_no_answers(client):
    assert client.classify([]) == []


def test_one_text_needs_no_list(client, generated):
    assert client.classify_one(FILMS[0]) == close_to(generated[FILMS[0]])


@pytest.mark.parametrize("lone", ["a text", b"bytes"])
def test_lone_text_is_not_read_letter_by_letter(client, lone):
    with pytest.raises(TypeError, match="classify_one"):
        client.classify(lone)


@pytest.mark.parametrize(("texts", "place"), [([3], 0), (["a", None], 1), (["a", "b", b"c"], 2)])
def test_wrong_types_are_named_with_their_place(client, texts, place):
    with pytest.raises(TypeError, match=f"text {place} is"):
        client.classify(texts)


def test_text_beyond_the_servers_limit_costs_only_itself(client, generated):
    texts = [FILMS[0], "x" * (1 << 20) + "x", FILMS[1], "lone \udc80", FILMS[2]]
    outcomes = list(client.outcomes(texts))
    assert [outcomes[i] for i in (0, 2, 4)] == [close_to(generated[texts[i]]) for i in (0, 2, 4)]
    assert [(type(outcomes[i]), outcomes[i].index) for i in (1, 3)] == [(InvalidText, 1), (InvalidText, 3)]
    assert "1048576" in outcomes[1].reason
    assert "/" not in outcomes[1].reason


def test_unknown_model_is_named(url, protocol):
    with (
        SentimentClient(url, protocol, model="nosuch") as client,
        pytest.raises(ModelNotFound, match="'nosuch'"),
    ):
        client.classify(["a text"])


def test_model_that_reads_no_text_is_refused(url, protocol):
    client = SentimentClient(url, protocol, model="mobilebert_fp32")
    with client, pytest.raises(UnsuitableModel, match="use an ensemble"):
        client.classify(["a text"])


def test_ready_server_is_seen_as_ready(client):
    client.wait_until_ready(5)
    assert client.is_ready()
    client.connect()


def test_wrong_port_is_recognised(server: TritonServer, protocol: Protocol):
    other = server.grpc_url if protocol == "http" else server.http_url.removeprefix("http://")
    client = SentimentClient(other, protocol, limits=Limits(deadline=0, timeout=10))
    with client, pytest.raises(ServerUnavailable, match=f"does not speak {protocol}"):
        client.classify(["a text"])
