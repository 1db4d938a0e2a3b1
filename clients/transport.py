"""What a client needs from a protocol, and the two that have it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http

from clients.endpoint import Endpoint
from clients.sentiment import Sentiment
from clients.tensors import INPUT, OUTPUTS, read_sentiments, text_tensor


class Transport(Protocol):
    """One connection pool to one server. Methods raise whatever their library raises."""

    async def infer(self, model: str, texts: Sequence[str], timeout: float) -> list[Sentiment]: ...

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]: ...

    async def is_ready(self, model: str, timeout: float) -> bool: ...

    async def close(self) -> None: ...


class HttpTransport:
    """Binary tensors over HTTP. The time limit is the caller's: cancelling a call drops its connection."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], connections: int) -> None:
        self._headers = headers
        self._client = triton_http.InferenceServerClient(
            endpoint.address, ssl=endpoint.tls, conn_limit=connections, conn_timeout=None
        )

    async def infer(self, model: str, texts: Sequence[str], timeout: float) -> list[Sentiment]:
        tensor = triton_http.InferInput(INPUT, [len(texts), 1], "BYTES")
        tensor.set_data_from_numpy(text_tensor(texts))
        outputs = [triton_http.InferRequestedOutput(name) for name in OUTPUTS]
        # The library writes into the headers that it is given, so it gets its own.
        result = await self._client.infer(model, [tensor], outputs=outputs, headers=dict(self._headers))
        return read_sentiments(result.as_numpy, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        return await self._client.get_model_config(model, headers=dict(self._headers))

    async def is_ready(self, model: str, timeout: float) -> bool:
        return await self._client.is_model_ready(model, headers=dict(self._headers))

    async def close(self) -> None:
        await self._client.close()


class GrpcTransport:
    """gRPC; the time limit travels with the request, so the server stops work on what nobody waits for."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._client = triton_grpc.InferenceServerClient(endpoint.address, ssl=endpoint.tls)

    async def infer(self, model: str, texts: Sequence[str], timeout: float) -> list[Sentiment]:
        tensor = triton_grpc.InferInput(INPUT, [len(texts), 1], "BYTES")
        tensor.set_data_from_numpy(text_tensor(texts))
        outputs = [triton_grpc.InferRequestedOutput(name) for name in OUTPUTS]
        result = await self._client.infer(
            model, [tensor], outputs=outputs, headers=self._headers, client_timeout=timeout
        )
        return read_sentiments(result.as_numpy, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        answer = await self._client.get_model_config(
            model, headers=self._headers, as_json=True, client_timeout=timeout
        )
        return answer["config"]

    async def is_ready(self, model: str, timeout: float) -> bool:
        return await self._client.is_model_ready(model, headers=self._headers, client_timeout=timeout)

    async def close(self) -> None:
        await self._client.close()


def open_transport(endpoint: Endpoint, headers: Mapping[str, str], connections: int) -> Transport:
    """Opens nothing yet but the pool; must be called inside the event loop that will use it."""
    if endpoint.protocol == "grpc":
        return GrpcTransport(endpoint, headers)
    return HttpTransport(endpoint, headers, connections)
