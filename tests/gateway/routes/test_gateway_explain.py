"""POST /v1/explain: every weight is the difference of two answers of raw Triton, and its cost is bounded."""

import itertools
import math
from typing import Any

import httpx
import pytest
import requests

from serving.launcher import TritonServer

TEXT = "A warm, funny film — but the naïve 👍🏽 ending isn't   good."
REVIEW = " ".join(f"This is sentence {n}, and it has a few words more." for n in range(12))


def explain(api: httpx.Client, text: str, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/explain", json={"text": text, "model": "sentiment", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def raw(server: TritonServer, text: str) -> list[float]:
    url = f"{server.http_url}/v2/models/sentiment/generate"
    return requests.post(url, json={"text": text}, timeout=60).json()["probabilities"]


def odds(probabilities: list[float], label: int) -> float:
    return math.log(probabilities[label]) - math.log(
        sum(value for place, value in enumerate(probabilities) if place != label)
    )


@pytest.mark.parametrize(("text", "unit"), [(TEXT, "word"), (REVIEW, "sentence")])
def test_weights_are_differences_of_raw_tritons_answers(
    api: httpx.Client, server: TritonServer, text: str, unit: str
) -> None:
    found = explain(api, text)
    whole = raw(server, text)
    label = whole.index(max(whole))
    assert found["unit"] == unit
    assert found["evaluations"] == len(found["units"]) + 1
    for each in found["units"]:
        assert each["text"] == text[each["start"] : each["end"]]
        without = raw(server, text[: each["start"]] + text[each["end"] :])
        assert each["weight"] == pytest.approx(odds(whole, label) - odds(without, label), abs=1e-3)
        assert each["drop"] == pytest.approx(whole[label] - without[label], abs=1e-4)


def test_words_are_those_a_person_would_count(api: httpx.Client) -> None:
    words = [each["text"] for each in explain(api, TEXT)["units"]]
    assert words == ["A", "warm", "funny", "film", "but", "the", "naïve", "ending", "isn't", "good"]


def test_scripts_without_spaces_have_a_unit_a_character(api: httpx.Client) -> None:
    assert [each["text"] for each in explain(api, "最高の映画 great")["units"]] == [*"最高の映画", "great"]


@pytest.mark.parametrize("text", ["word " * 480, "One. " * 200, REVIEW * 4])
def test_units_beyond_the_bound_are_joined_and_none_is_lost(api: httpx.Client, text: str) -> None:
    found = explain(api, text)
    assert len(found["units"]) <= 63
    assert found["evaluations"] * found["num_tokens"] <= 32_768 + found["num_tokens"]
    covered = [text[unit["start"] : unit["end"]] for unit in found["units"]]
    assert "".join("".join(covered).split()) == "".join(text.split())
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found["units"]))


def test_a_sentence_can_be_looked_at_word_by_word(api: httpx.Client) -> None:
    sentence = explain(api, REVIEW)["units"][3]
    within = [sentence["start"], sentence["end"]]
    words = explain(api, REVIEW, unit="word", within=within)["units"]
    assert " ".join(word["text"] for word in words) == "This is sentence 3 and it has a few words more"


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_a_text_without_words_has_no_units(api: httpx.Client, text: str) -> None:
    assert explain(api, text)["units"] == []


@pytest.mark.parametrize("within", [[0, 99], [3, 3], [-1, 2], ["a", 2], [1]])
def test_a_part_outside_the_text_is_refused(api: httpx.Client, within: list[Any]) -> None:
    answer = api.post("/v1/explain", json={"text": "four", "within": within})
    assert answer.status_code == 422
    assert "within" in answer.json()["detail"]
