"""One call of a contestant over HTTP: plain JSON, kept-alive connections, the same client for everybody."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import urllib3
from urllib3.exceptions import ReadTimeoutError

from benchmarks.errors import BenchmarkError

TIMEOUT_S = 120.0


class _Retry(urllib3.Retry):
    """Asks again after a broken connection, never after a timeout: that has taken the whole limit already."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


# A server with too much work says 503. Its clients ask again, and that time is part of their latency.
RETRIES = _Retry(
    connect=3,
    read=3,
    redirect=0,
    status=50,
    total=None,
    status_forcelist=[503],
    allowed_methods=None,
    backoff_factor=0.1,
    backoff_max=1.0,
    raise_on_status=False,
)


class Caller(Protocol):
    """Something that classifies texts."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The label of each text, in order."""


@dataclass
class HttpCaller:
    """Posts JSON to one URL; safe to share between threads.

    A gunicorn sync worker closes its connection after each answer; urllib3 then opens another one.
    """

    url: str
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=64, block=False))

    def post(self, body: dict) -> Any:
        """The JSON answer.

        Raises:
            BenchmarkError: the answer's status is not 200.
        """
        timeout = urllib3.Timeout(TIMEOUT_S)
        response = self._pool.request("POST", self.url, json=body, timeout=timeout, retries=RETRIES)
        if response.status != 200:
            raise BenchmarkError(f"{self.url} answered {response.status}: {response.data[:200].decode()}")
        return json.loads(response.data)


@dataclass
class FlaskCaller:
    """A single endpoint takes one text, a batch endpoint a list."""

    http: HttpCaller
    batch: bool

    def __call__(self, texts: Sequence[str]) -> list[str]:
        if self.batch:
            return [row["prediction"] for row in self.http.post({"queryList": list(texts)})["predictions"]]
        return [self.http.post({"query": text})["prediction"] for text in texts]


@dataclass
class TritonCaller:
    """Triton's /infer in JSON; a list of texts is one request of as many rows."""

    http: HttpCaller

    def __call__(self, texts: Sequence[str]) -> list[str]:
        return self.http.post(infer_body(texts, "label"))["outputs"][0]["data"]


@dataclass
class PaddedCaller:
    """The padded rival has no labels in its graph; its clients look them up."""

    http: HttpCaller
    labels: Sequence[str]

    def __call__(self, texts: Sequence[str]) -> list[str]:
        output = self.http.post(infer_body(texts, "logits"))["outputs"][0]
        width = output["shape"][-1]
        rows = [output["data"][i * width : (i + 1) * width] for i in range(len(texts))]
        return [self.labels[row.index(max(row))] for row in rows]


@dataclass
class BentoCaller:
    """A batchable endpoint of BentoML takes and gives lists."""

    http: HttpCaller

    def __call__(self, texts: Sequence[str]) -> list[str]:
        return self.http.post({"texts": list(texts)})


@dataclass
class InfinityCaller:
    """infinity-emb's /classify gives every label of a text with its score."""

    http: HttpCaller
    model: str

    def __call__(self, texts: Sequence[str]) -> list[str]:
        rows = self.http.post({"model": self.model, "input": list(texts)})["data"]
        return [max(row, key=lambda each: each["score"])["label"] for row in rows]


def infer_body(texts: Sequence[str], *outputs: str) -> dict:
    """Triton's /infer for these texts, asking for these outputs."""
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts), 1], "data": list(texts)}
    return {"inputs": [tensor], "outputs": [{"name": output} for output in outputs]}


def flask_caller(base_url: str, endpoint: str) -> FlaskCaller:
    """A caller of the Flask app's ``endpoint`` (single, batch, fast_single, fast_batch)."""
    return FlaskCaller(HttpCaller(f"{base_url}/{endpoint}"), batch=endpoint.endswith("batch"))


def triton_caller(base_url: str, model: str) -> TritonCaller:
    """A caller of a Triton model or ensemble with the input ``text``."""
    return TritonCaller(HttpCaller(f"{base_url}/v2/models/{model}/infer"))


def padded_caller(base_url: str, model: str, labels: Sequence[str]) -> PaddedCaller:
    """A caller of the padded rival; ``labels`` are the checkpoint's, by number."""
    return PaddedCaller(HttpCaller(f"{base_url}/v2/models/{model}/infer"), labels)


def one_by_one(caller: Caller, texts: Sequence[str]) -> list[str]:
    """Classify with one request a text, one after another."""
    return [caller([text])[0] for text in texts]


def in_requests_of(caller: Caller, texts: Sequence[str], rows: int) -> list[str]:
    """Classify with requests of ``rows`` texts, one after another."""
    starts = range(0, len(texts), rows)
    return [label for start in starts for label in caller(texts[start : start + rows])]
