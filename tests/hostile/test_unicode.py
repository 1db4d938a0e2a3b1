"""Texts that break careless code: the answer is that of transformers' tokenizer and model, or a refusal."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import requests

from serving.launcher import TritonServer
from tests.hostile.conftest import ask_grpc

# Each within 512 tokens: longer texts have rules of their own.
STRANGE = {
    "NUL": "good\x00 film\x00\x00",
    "control characters": "".join(map(chr, range(1, 32))) + " good \x7f\x80\x9f film",
    "right to left": "\u202egood film\u202c \u200f\u05d8\u05d5\u05d1 \u0633\u064a\u0626\u200e \u2066x\u2069",
    "a pile of combining marks": "goo" + "\u0301\u0335\u0489" * 50_000 + "d film",
    "marks without a letter": "\u0301" * 10_000,
    "a mebibyte without a space": "x" * (1 << 20),
    "a mebibyte of one accent": "e\u0301" * (1 << 18),
    "a word of the longest length": "a" * 100 + " " + "a" * 101,
    "special tokens": "[CLS] good [SEP] film [MASK] [PAD] [PAD] [UNK] [SEP]",
    "special tokens in words": "x[SEP]y[PAD]z [sep] [CLS][CLS] [ SEP ]",
    "nothing but padding": "[PAD]" * 100,
    "spaces of all kinds": "good\u00a0film\u2003very\u3000bad\ufeffnever\u2028the\u2029end\u200b.",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 good \U0001f3f4\U000e0067 film \ufe0f\u20e3",
    "outside the basic plane": "\U0001d4d0\U0001d4d1 \U00020000\U0002a6d6 \U0010ffff\U000f0000",
    "noncharacters": "good \ufffe\uffff\ufdd0 film",
    "the replacement character": "good \ufffd film",
    "compatibility forms": "\ufb01lm \uff47\uff4f\uff4f\uff44 \u212b\u2126 \u01c4 \u0130 \u1e9e \u03c2",
    "white space alone": " \t\r\n\x0b\x0c ",
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_the_answer_is_that_of_transformers(
    text: str, server: TritonServer, reference: Callable[[str], np.ndarray]
) -> None:
    expected = reference(text)
    for escaped in (True, False):
        body = json.dumps({"text": text}, ensure_ascii=escaped).encode()
        reply = requests.post(f"{server.http_url}/v2/models/sentiment/generate", data=body, timeout=120)
        assert reply.status_code == 200, reply.text[:200]
        np.testing.assert_allclose(reply.json()["probabilities"], expected, atol=2e-5)
        assert not reply.json()["truncated"]
    np.testing.assert_allclose(ask_grpc(server, (text,))[0], expected, atol=2e-5)


def refused(server: TritonServer, body: bytes) -> tuple[int, str]:
    reply = requests.post(f"{server.http_url}/v2/models/sentiment/generate", data=body, timeout=120)
    return reply.status_code, reply.json()["error"]


@pytest.mark.parametrize(
    "text", [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
)
def test_what_is_no_text_is_refused_in_a_sentence(text: bytes, server: TritonServer) -> None:
    """Half a surrogate pair, an overlong NUL, a code point beyond the last: transformers takes none."""
    answer = refused(server, b'{"text": "good ' + text + b'"}')
    assert answer == (400, "in ensemble 'sentiment', text 0 is not valid UTF-8 at byte 5")


@pytest.mark.parametrize(
    ("escape", "status", "reason"),
    [
        (r"\ud800", 500, "surrogate"),
        (r"\ud800\u0041", 500, "surrogate"),
        (r"\udfff", 400, "not valid UTF-8 at byte 5"),
        (r"\udc00\ud800", 500, "surrogate"),
    ],
)
def test_half_a_surrogate_pair_in_json_is_refused(
    escape: str, status: int, reason: str, server: TritonServer
) -> None:
    answer = refused(server, b'{"text": "good %s"}' % escape.encode())
    assert (answer[0], reason in answer[1]) == (status, True)


def test_a_typed_separator_is_the_token_it_names(reference: Callable[[str], np.ndarray]) -> None:
    """As in transformers: deliberate, and so documented. It moves the answer no further than a word does."""
    assert not np.allclose(reference("good [SEP] film"), reference("good ( sep ) film"), atol=1e-6)
