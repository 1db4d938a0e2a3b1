"""Triton over HTTP by aiohttp alone: the gateway runs on the cores that the model computes on.

gRPC's threads or tritonclient's classes take more processor time for a request, see docs/guides/gateway.md.
"""

from collections.abc import Mapping, Sequence
from struct import pack
from typing import Any

import aiohttp
import numpy as np
from pydantic_core import from_json, to_json
from tritonclient.utils import InferenceServerException
from yarl import URL

from clients.endpoint import Endpoint
from clients.request_options import RequestOptions
from clients.retry_after import STATUSES, ComeBackLater, read_retry_after
from clients.sentiment import Sentiment
from clients.tensors import INPUT, read_sentiments


class TritonHttp:
    """A transport of `clients`. The time limit is the caller's: cancelling a call drops its connection.

    Protocol: KServe v2 over HTTP with binary tensors (Triton, protocol/extension_binary_data).
    """

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        scheme = "https" if endpoint.tls else "http"
        self._models = URL(f"{scheme}://{endpoint.address}/v2/models/")
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
        )

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]:
        tensor = b"".join(pack("<I", len(text)) + text for text in map(str.encode, texts))
        size = {"binary_data_size": len(tensor)}
        head = to_json(
            {
                "id": options.request_id,
                "parameters": {"timeout": options.microseconds, **options.parameters},
                "inputs": [
                    {"name": INPUT, "datatype": "BYTES", "shape": [len(texts), 1], "parameters": size}
                ],
            }
        )
        headers = options.headers({"Inference-Header-Content-Length": str(len(head))})
        async with self._session.post(
            self._url(model, "infer"), data=head + tensor, headers=headers
        ) as response:
            answer = await _content(response)
        outputs = {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer["outputs"]}
        return read_sentiments(outputs.get, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        async with self._session.get(self._url(model, "config")) as response:
            return await _content(response)

    async def is_ready(self, model: str, timeout: float) -> bool:
        async with self._session.get(self._url(model, "ready")) as response:
            return response.status == 200

    async def close(self) -> None:
        await self._session.close()

    def _url(self, model: str, what: str) -> URL:
        return self._models / model / what


async def _content(response: aiohttp.ClientResponse) -> Any:
    """The JSON of an answer. Raises what the SDK makes one of its own errors of."""
    body = await response.read()
    if response.status == 200:
        return from_json(body)
    seconds = read_retry_after(response.headers.get("Retry-After"))
    if response.status in STATUSES and seconds is not None:
        raise ComeBackLater(response.status, seconds)
    try:
        message = from_json(body)["error"]
    except (ValueError, TypeError, KeyError):
        message = body.decode(errors="replace")
    raise InferenceServerException(str(message), str(response.status))
