"""Which error of this package a server's or a proxy's answer becomes."""

from datetime import UTC, datetime

import pytest
from tritonclient.utils import InferenceServerException

from clients.endpoint import parse_endpoint
from clients.errors import (
    InvalidText,
    RequestTimeout,
    SentimentError,
    ServerBusy,
    ServerError,
    ServerUnavailable,
)
from clients.failures import translate
from clients.retry_after import read_retry_after

BUSY = "the server is busy: about 3.5 s of work wait, the limit is 2.0 s; try again in 1.5 s"


def translated(message: str, status: str) -> SentimentError:
    error = InferenceServerException(message, status=status)
    return translate(error, parse_endpoint(None, "http"), "sentiment", 60.0)


@pytest.mark.parametrize("status", ["400", "413", "StatusCode.INVALID_ARGUMENT"])
@pytest.mark.parametrize("before", ["", "in ensemble 'sentiment', ", "[request id: 7] in ensemble 'x', "])
def test_message_that_names_a_text_is_its_refusal(status, before):
    found = translated(f"{before}text 3 has 1048577 bytes, more than the limit of 1048576", status)
    assert type(found) is InvalidText
    assert found.index == 3
    assert found.reason == "has 1048577 bytes, more than the limit of 1048576"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Bad Request", "400"),
        ("text must have shape [rows, 1], not [2]", "400"),
        ("<html><title>413 Request Entity Too Large</title>text 1 is here</html>", "413"),
        ('{"detail": "text 1 is not JSON"}', "400"),
        ("unexpected shape for input 'text' for model 'sentiment'", "StatusCode.INVALID_ARGUMENT"),
    ],
)
def test_refusal_that_names_no_text_blames_no_text(message, status):
    assert type(translated(message, status)) is ServerError


def test_request_that_a_proxy_finds_too_large_is_explained():
    assert "batch_bytes" in str(translated("Request Entity Too Large", "413"))


@pytest.mark.parametrize("status", ["503", "500", "400", "StatusCode.UNAVAILABLE"])
def test_overload_says_when_to_come_back(status):
    found = translated(f"in ensemble 'sentiment', {BUSY}", status)
    assert isinstance(found, ServerBusy)
    assert found.retry_after == 1.5


@pytest.mark.parametrize("status", ["400", "500", "StatusCode.INTERNAL", "StatusCode.INVALID_ARGUMENT"])
def test_process_that_died_behind_the_server_is_worth_another_try(status):
    found = translated("Stub process 'mobilebert_tokenizer_0_0' is not healthy.", status)
    assert type(found) is ServerUnavailable
    assert found.retryable


@pytest.mark.parametrize("status", ["503", "StatusCode.UNAVAILABLE"])
def test_deadline_that_passed_on_the_server_is_a_timeout(status):
    message = "in ensemble 'sentiment', the deadline of 0.5 s passed before an answer was ready"
    assert type(translated(message, status)) is RequestTimeout


def test_full_queue_without_a_time_has_none():
    found = translated("Exceeds maximum queue size", "503")
    assert isinstance(found, ServerBusy)
    assert found.retry_after is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_header_is_read_in_both_its_forms(header, seconds):
    now = datetime(2015, 10, 21, 7, 28, 0, tzinfo=UTC)
    assert read_retry_after(header, lambda: now) == seconds
