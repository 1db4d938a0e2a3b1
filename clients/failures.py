"""What the libraries raise, translated into the errors of this package."""

import asyncio
import re

import aiohttp
from tritonclient.utils import InferenceServerException

from .endpoint import Endpoint
from .errors import (
    InvalidText,
    ModelNotFound,
    RequestTimeout,
    SentimentError,
    ServerBusy,
    ServerError,
    ServerUnavailable,
    ServerUnreachable,
)
from .retry_after import ComeBackLater

START_IT = "start it with `make serve`, or name another one by its URL"
UNAVAILABLE = {"502", "503", "504", "StatusCode.UNAVAILABLE", "StatusCode.RESOURCE_EXHAUSTED"}
REFUSED = {"400", "413", "StatusCode.INVALID_ARGUMENT"}
TOO_MANY = {"429"}
# The tokenizer's message about one text, named by its row in the request. The ensemble puts its own words
# before it. A proxy's HTML page does not match.
NAMES_A_TEXT = re.compile(r"^(?:[^<>{}]{0,80}[:,] )?text (?P<row>\d+) (?P<reason>(?:has|is) .*)")
QUEUE_FULL = re.compile(r"exceeds maximum queue size|timeout expired|the server is busy:", re.IGNORECASE)
TRY_AGAIN = re.compile(r"try again in (?P<seconds>\d+(?:\.\d+)?) s\b")
DEADLINE_PASSED = re.compile(r"the deadline of .* s passed before an answer was ready")
# When a model's process has died, Triton answers 400 or INTERNAL with this until the launcher restarts it.
DEAD_PROCESS = re.compile(r"stub process .* is not healthy", re.IGNORECASE)
NO_MODEL = re.compile(r"unknown model|model.* is not found|no available versions", re.IGNORECASE)
NO_LISTENER = re.compile(r"connection refused", re.IGNORECASE)
NO_HANDSHAKE = re.compile(r"failed to connect", re.IGNORECASE)
NO_ADDRESS = re.compile(r"dns|lookup failed|ssl", re.IGNORECASE)
LONGEST_MESSAGE = 300


def translate(error: Exception, endpoint: Endpoint, model: str, timeout: float) -> SentimentError:
    """The typed form of any exception that a request to Triton can end with.

    The index of an InvalidText is the row in the request. The caller turns it into the place in the whole
    list.
    """
    if isinstance(error, SentimentError):
        return error
    if isinstance(error, ComeBackLater):
        return ServerBusy(_overloaded(endpoint, f"status {error.status}"), error.retry_after)
    if isinstance(error, InferenceServerException):
        return _from_triton(str(error.status()), _one_line(error.message()), endpoint, model, timeout)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return _timeout(endpoint, timeout)
    if isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientSSLError | aiohttp.InvalidURL):
        return ServerUnreachable(f"{endpoint} can't be reached ({_one_line(str(error))}); check the URL")
    if isinstance(error, aiohttp.ClientResponseError):
        return ServerUnreachable(_wrong_protocol(endpoint))
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionResetError):
        return ServerUnavailable(_wrong_protocol(endpoint))
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionRefusedError):
        return ServerUnavailable(f"no Triton server answers at {endpoint}; {START_IT}")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ServerUnavailable(f"the connection to {endpoint} broke; if the server stopped, {START_IT}")
    return ServerError(f"{endpoint} gave an answer that can't be read: {_one_line(str(error))}")


def _from_triton(status: str, message: str, endpoint: Endpoint, model: str, timeout: float) -> SentimentError:
    # A full queue is 503 on /infer, yet 400 in some releases when a step of an ensemble refuses.
    if QUEUE_FULL.search(message) and status != "StatusCode.DEADLINE_EXCEEDED":
        return ServerBusy(_overloaded(endpoint, message), _retry_after(message))
    if status == "StatusCode.DEADLINE_EXCEEDED" or DEADLINE_PASSED.search(message):
        return _timeout(endpoint, timeout)
    if status in TOO_MANY:
        return ServerBusy(_overloaded(endpoint, message))
    if status in UNAVAILABLE or DEAD_PROCESS.search(message):
        return _unavailable(message, endpoint)
    if NO_MODEL.search(message) or status in ("404", "StatusCode.NOT_FOUND"):
        return ModelNotFound(f"{endpoint} serves no model {model!r} ({message}); check the name")
    if status in REFUSED and (named := NAMES_A_TEXT.match(message)):
        return InvalidText(named["reason"], int(named["row"]))
    if status == "413":
        return ServerError(f"{endpoint} takes no request of this size ({message}); lower Limits.batch_bytes")
    return ServerError(f"{endpoint} failed (status {status.removeprefix('StatusCode.')}): {message}")


def _overloaded(endpoint: Endpoint, message: str) -> str:
    return f"{endpoint} is overloaded ({message}); send less at once (max_in_flight) or later"


def _retry_after(message: str) -> float | None:
    found = TRY_AGAIN.search(message)
    return float(found["seconds"]) if found else None


def _unavailable(message: str, endpoint: Endpoint) -> SentimentError:
    if NO_ADDRESS.search(message):
        return ServerUnreachable(f"{endpoint} can't be reached ({message}); check the URL and the protocol")
    if NO_LISTENER.search(message):
        return ServerUnavailable(f"no Triton server answers at {endpoint}; {START_IT}")
    if NO_HANDSHAKE.search(message):
        return ServerUnavailable(_wrong_protocol(endpoint))
    return ServerUnavailable(f"{endpoint} is not available ({message}); try again later")


def _wrong_protocol(endpoint: Endpoint) -> str:
    scheme = str(endpoint).partition(":")[0]
    return f"{endpoint} does not speak {scheme}; check the port, the protocol and TLS"


def _timeout(endpoint: Endpoint, timeout: float) -> SentimentError:
    return RequestTimeout(
        f"no answer from {endpoint} within {timeout:g} s; allow more, or send less at once (max_in_flight)"
    )


def _one_line(message: str | None) -> str:
    line = " ".join((message or "no message").split())
    return line if len(line) <= LONGEST_MESSAGE else line[:LONGEST_MESSAGE] + "..."
