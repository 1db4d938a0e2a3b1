"""Every way of asking: the SDK over HTTP and gRPC, and bare clients of both, which never retry."""

import http.client
import json
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from benchmarks.soak.questions import Answer, Question
from clients import Limits, SentimentClient
from serving.launcher import TritonServer

TIMEOUT = 60.0
SDK_LIMITS = Limits(timeout=TIMEOUT, deadline=180.0)
BUSY = ("the server is busy", "the server is stopping")
BROKEN = ("closed", "reset", "broken pipe", "goaway", "stream removed", "eof")
DEAD_STREAM = "no longer in valid state"  # tritonclient's word for a stream that has ended


class Refused(Exception):
    """A clear refusal: nothing listens, or the server says that it is busy or stopping."""


class BrokenOff(Exception):
    """The connection ended before the answer, and the client knows it at once."""


class Caller(Protocol):
    """Asks one question after the other. Raises Refused, BrokenOff, or, for a lost answer, anything else."""

    def ask(self, question: Question) -> list[Answer]: ...

    def close(self) -> None: ...


class Sdk:
    """`clients.SentimentClient`, which retries by itself."""

    def __init__(self, url: str, protocol: Any) -> None:
        self._url, self._protocol = url, protocol
        self._clients: dict[str, SentimentClient] = {}

    def ask(self, question: Question) -> list[Answer]:
        """Through `classify`."""
        if question.model not in self._clients:
            client = SentimentClient(self._url, self._protocol, question.model, SDK_LIMITS)
            self._clients[question.model] = client
        sentiments = self._clients[question.model].classify(list(question.texts))
        return [Answer(each.label, tuple(each.probabilities)) for each in sentiments]

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


class Http:
    """`POST /infer` in JSON, on a connection that is kept alive."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT)

    def ask(self, question: Question) -> list[Answer]:
        """One request."""
        text = {"name": "text", "datatype": "BYTES", "shape": [len(question.texts), 1]}
        body = json.dumps({"inputs": [{**text, "data": list(question.texts)}]})
        with _connection_errors(self._connection.close):
            self._connection.request("POST", f"/v2/models/{question.model}/infer", body)
            response = self._connection.getresponse()
            content = response.read()
        if response.status == 503 or any(word in content.decode() for word in BUSY):
            raise Refused(content.decode()[:200])
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {content.decode()[:200]}")
        outputs = {each["name"]: each["data"] for each in json.loads(content)["outputs"]}
        return _answers(outputs["label"], np.array(outputs["probabilities"]))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Grpc:
    """Unary calls."""

    def __init__(self, url: str) -> None:
        self._client = grpcclient.InferenceServerClient(url, channel_args=_RECONNECT)

    def ask(self, question: Question) -> list[Answer]:
        """One call."""
        with _grpc_errors():
            result = self._client.infer(question.model, [_tensor(question)], client_timeout=TIMEOUT)
        return _read(result)

    def close(self) -> None:
        """Close the channel."""
        self._client.close()


class GrpcStream:
    """One bidirectional stream, opened anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._client = grpcclient.InferenceServerClient(url, channel_args=_RECONNECT)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._open = False

    def ask(self, question: Question) -> list[Answer]:
        """Sends one message and waits for one."""
        with _grpc_errors(self._break):
            if not self._open:
                self._answers = queue.Queue()
                answers = self._answers
                self._client.start_stream(lambda result, error: answers.put((result, error)))
                self._open = True
            self._client.async_stream_infer(question.model, [_tensor(question)])
            result, error = self._answers.get(timeout=TIMEOUT)
            if error is not None:
                raise error
        return _read(result)

    def _break(self) -> None:
        self._open = False
        self._client.stop_stream(cancel_requests=True)

    def close(self) -> None:
        """End the stream and close the channel."""
        if self._open:
            self._break()
        self._client.close()


_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]


def _tensor(question: Question) -> grpcclient.InferInput:
    tensor = grpcclient.InferInput("text", [len(question.texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode()] for text in question.texts], dtype=object))
    return tensor


def _read(result: grpcclient.InferResult) -> list[Answer]:
    labels = [label.decode() for label in result.as_numpy("label").ravel()]
    return _answers(labels, result.as_numpy("probabilities"))


def _answers(labels: list[str], probabilities: np.ndarray) -> list[Answer]:
    rows = probabilities.reshape(len(labels), -1).tolist()
    return [Answer(label, tuple(row)) for label, row in zip(labels, rows, strict=True)]


@contextmanager
def _connection_errors(drop: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError as error:
        drop()
        raise Refused(str(error)) from error
    except (ConnectionError, http.client.HTTPException) as error:
        drop()
        raise BrokenOff(str(error)) from error
    except OSError:
        drop()
        raise


@contextmanager
def _grpc_errors(drop: Callable[[], None] = lambda: None) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        drop()
        text = str(error).lower()
        if any(word in text for word in BUSY):
            raise Refused(text) from error
        if DEAD_STREAM in text:
            raise BrokenOff(text) from error
        if error.status() != "StatusCode.UNAVAILABLE":
            raise
        raise (BrokenOff if any(word in text for word in BROKEN) else Refused)(text) from error


def all_callers(server: TritonServer) -> dict[str, Callable[[], Caller]]:
    """A maker for each way of asking, by its name."""
    address = server.http_url.removeprefix("http://")
    return {
        "SDK, HTTP": lambda: Sdk(server.http_url, "http"),
        "SDK, gRPC": lambda: Sdk(server.grpc_url, "grpc"),
        "HTTP": lambda: Http(address),
        "gRPC": lambda: Grpc(server.grpc_url),
        "gRPC stream": lambda: GrpcStream(server.grpc_url),
    }
