"""Triton over HTTP, through tritonclient's asyncio client."""

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import tritonclient.http.aio as triton_http

from .endpoint import Endpoint
from .request_options import RequestOptions
from .retry_after import refusal
from .sentiment import Sentiment
from .tensors import INPUT, read_sentiments, text_tensor


class HttpTransport:
    """Binary tensors over HTTP. The time limit is the caller's: cancelling a call drops its connection."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], connections: int) -> None:
        self._headers = headers
        self._client = _Client(endpoint.address, ssl=endpoint.tls, conn_limit=connections, conn_timeout=None)

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]:
        tensor = triton_http.InferInput(INPUT, [len(texts), 1], "BYTES")
        tensor.set_data_from_numpy(text_tensor(texts))
        # The library writes into the headers that it is given, so it gets its own.
        result = await self._client.infer(
            model,
            [tensor],
            request_id=options.request_id,
            timeout=options.microseconds,
            parameters=options.parameters,
            headers=options.headers(self._headers),
        )
        return read_sentiments(result.as_numpy, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        return await self._client.get_model_config(model, headers=dict(self._headers))

    async def is_ready(self, model: str, timeout: float) -> bool:
        return await self._client.is_model_ready(model, headers=dict(self._headers))

    async def close(self) -> None:
        await self._client.close()


class _Client(triton_http.InferenceServerClient):
    async def _post(self, *arguments: Any, **named: Any) -> aiohttp.ClientResponse:
        # The library's own exception has no headers.
        response = await super()._post(*arguments, **named)
        if refused := refusal(response.status, response.headers.get("Retry-After")):
            await response.read()
            raise refused
        return response
