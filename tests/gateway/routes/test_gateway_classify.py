"""POST /v1/classify on the real gateway and the real Triton: answers, shapes of the body, errors."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import requests

from serving.launcher import TritonServer
from tests.gateway.running import Gateway

TEXTS = [
    "A warm, funny and clever film.",
    "",
    "Dull, and far too long.",
    "日本の映画 \x00 👍🏽",
    "word " * 700,
]


def classify(api: httpx.Client, body: Any, **headers: str) -> httpx.Response:
    return api.post("/v1/classify", json=body, headers=headers)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem of an answer, which must be a whole one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"].endswith(".")
    return body


def generate(server: TritonServer, text: str) -> dict[str, Any]:
    """Raw Triton's answer to one text: the oracle."""
    url = f"{server.http_url}/v2/models/sentiment/generate"
    return requests.post(url, json={"text": text}, timeout=60).json()


def test_every_text_gets_the_answer_of_raw_triton_in_its_place(
    api: httpx.Client, server: TritonServer
) -> None:
    answers = classify(api, {"texts": TEXTS}).json()
    assert [answer["index"] for answer in answers] == list(range(len(TEXTS)))
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = generate(server, text)
        for field in ("label", "num_tokens", "truncated"):
            assert answer[field] == expected[field]
        assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)
        assert sorted(answer["probabilities"].values()) == pytest.approx(
            sorted(expected["probabilities"]), abs=1e-4
        )


@pytest.mark.parametrize("body", [{"text": TEXTS[0]}, TEXTS[0], [TEXTS[0]], {"texts": [TEXTS[0]]}])
def test_one_text_may_come_in_four_forms(api: httpx.Client, body: Any) -> None:
    [answer] = classify(api, body).json()
    assert answer["label"] in ("negative", "positive")
    assert answer["score"] == max(answer["probabilities"].values())


def test_a_long_list_is_split_and_keeps_its_order(api: httpx.Client) -> None:
    texts = [f"film {number} " + "good " * (number % 40) for number in range(300)]
    answers = classify(api, texts).json()
    alone = [classify(api, texts[place]).json()[0] for place in (0, 39, 150, 299)]
    assert [answers[place]["num_tokens"] for place in (0, 39, 150, 299)] == [
        each["num_tokens"] for each in alone
    ]
    assert len(answers) == 300


def counted(server: TritonServer) -> tuple[int, int]:
    """Requests and texts that Triton's ensemble has answered."""
    url = f"{server.http_url}/v2/models/sentiment/stats"
    [stats] = requests.get(url, timeout=60).json()["model_stats"]
    return int(stats["inference_stats"]["success"]["count"]), int(stats["inference_count"])


def test_texts_of_many_clients_go_together_and_each_gets_its_own_answer(
    api: httpx.Client, server: TritonServer
) -> None:
    bodies = [f"Film {number}. " + "Good, not great. " * (number % 30) for number in range(96)]
    bodies[10:15] = ["", "日本の映画 \x00 👍🏽", "word " * 700, "x" * (1 << 20) + "x", "film"]
    expected = {text: generate(server, text)["score"] for text in bodies if len(text) < 1 << 20}
    before = counted(server)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda text: classify(api, text), bodies))
    after = counted(server)
    assert problem(answers[13], 413)
    for text, answer in zip(bodies, answers, strict=True):
        if text in expected:
            assert answer.json()[0]["score"] == pytest.approx(expected[text], abs=1e-4)
    sent, texts = (now - then for now, then in zip(after, before, strict=True))
    assert texts >= len(expected)
    assert sent < 0.7 * texts


def test_no_texts_give_no_answers(api: httpx.Client) -> None:
    assert classify(api, []).json() == []


def test_top_k_keeps_the_most_probable(api: httpx.Client) -> None:
    [answer] = classify(api, {"text": "so so", "top_k": 1}).json()
    assert list(answer["probabilities"].values()) == [answer["score"]]


def test_a_refused_text_of_many_costs_only_itself(api: httpx.Client) -> None:
    answers = classify(api, ["good", "x" * (1 << 20) + "x", "bad"]).json()
    assert [("label" in answer, "error" in answer) for answer in answers] == [
        (True, False), (False, True), (True, False),
    ]  # fmt: skip
    assert "1048577 bytes" in answers[1]["error"]


def test_a_refused_text_alone_is_a_problem(api: httpx.Client) -> None:
    found = problem(classify(api, "x" * (1 << 20) + "x"), 413)
    assert found["detail"] == "The text has 1048577 bytes, more than the limit of 1048576."


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"text": ', "line 1 column 9"),
        (b'{"text": "a" "b"}', "line 1 column 14"),
        (b'{\n"text": nope}', "line 2 column 10"),
        (b'{"text": "\\ud800"}', "line 1"),
        (b'{"text": "\xff"}', "byte 10 is not UTF-8"),
        (b"", "The body is empty"),
        (b"[" * 5000, "line 1"),
        (b"NaN", "line 1"),
    ],
)
def test_a_body_that_is_not_json_is_told_where(api: httpx.Client, body: bytes, place: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert place in problem(api.post("/v1/classify", content=body, headers=headers), 400)["detail"]


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        ({"texts": ["a", 3]}, "texts[1]", "must be a string, not a number"),
        (["a", None], "texts[1]", "must be a string, not null"),
        ({"text": ["a"]}, "text", "must be a string, not a list"),
        ({"text": "a", "top_k": 0}, "top_k", "must be greater than or equal to 1"),
        ({"text": "a", "timeout": -1}, "timeout", "must be greater than 0"),
        ({"text": "a", "texts": []}, "the body", "one of the fields"),
        ({"text": "a", "query": "a"}, "query", "not a field"),
        ({}, "the body", "one of the fields"),
        (3, "the body", "must be an object"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(
    api: httpx.Client, body: Any, place: str, message: str
) -> None:
    errors = problem(classify(api, body), 422)["errors"]
    assert [error["place"] for error in errors] == [place]
    assert message in errors[0]["message"]


def test_too_many_texts_are_sent_to_the_tasks(api: httpx.Client) -> None:
    assert "POST /v1/tasks" in problem(classify(api, ["a"] * 1001), 413)["detail"]


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "image/png"])
def test_other_types_than_json_are_refused_with_advice(api: httpx.Client, media_type: str) -> None:
    answer = api.post("/v1/classify", content=b'{"text": "a"}', headers={"Content-Type": media_type})
    assert "--json" in problem(answer, 415)["detail"]


def test_a_body_over_the_limit_is_refused_announced_or_not(api: httpx.Client) -> None:
    body = b'"' + b"x" * (17 << 20) + b'"'
    headers = {"Content-Type": "application/json"}
    assert "16 MiB" in problem(api.post("/v1/classify", content=body, headers=headers), 413)["detail"]
    chunks = (body[start : start + (1 << 20)] for start in range(0, len(body), 1 << 20))
    assert problem(api.post("/v1/classify", content=chunks, headers=headers), 413)


def test_a_timeout_that_is_too_short_is_a_504(api: httpx.Client) -> None:
    body = {"texts": [f"{number} " + "good film " * 300 for number in range(200)], "timeout": 0.01}
    assert "0.01 s" in problem(classify(api, body), 504)["detail"]


@pytest.mark.parametrize("model", ["nosuch", "mobilebert_fp32", "sentiment_fast"])
def test_a_model_that_is_not_there_is_a_404(api: httpx.Client, model: str) -> None:
    found = problem(classify(api, {"text": "a", "model": model}), 404)
    assert found["type"] == "/problems#model-not-found"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/classify", 405)]
)
def test_a_wrong_address_or_method_is_a_problem(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    assert problem(api.request(method, path), status)


def test_a_request_id_comes_back_and_is_in_the_log_but_no_text_is(gateway: Gateway) -> None:
    answer = classify(gateway.client, "A secret about plums.", **{"X-Request-ID": "plum-1"})
    assert answer.headers["x-request-id"] == "plum-1"
    entry = gateway.logged('"plum-1"')
    assert entry["caller"] == "anonymous"
    assert (entry["status"], entry["texts"], entry["tokens"]) == (200, 1, answer.json()[0]["num_tokens"])
    assert not any("secret" in line for line in list(gateway.lines))


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "naïve"])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(api: httpx.Client, given: str) -> None:
    answer = api.get("/healthz", headers={"X-Request-ID": given.encode()})
    assert answer.headers["x-request-id"] not in ("", given)
