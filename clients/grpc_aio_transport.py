"""Triton over gRPC's asyncio support, for a process that has one event loop.

An answer comes without the threads of grpc_transport.py, which says why this is not for every process.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tritonclient.grpc.aio as triton_grpc

from .endpoint import Endpoint
from .grpc_transport import call_arguments, connect, lower_case
from .request_options import RequestOptions
from .sentiment import Sentiment
from .tensors import read_sentiments


class GrpcAioTransport:
    """The time limit travels with a request; cancelling the call cancels the request."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        self._headers = lower_case(headers)
        self._client = connect(triton_grpc.InferenceServerClient, endpoint)

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]:
        result = await self._client.infer(model, **call_arguments(texts, options, self._headers))
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
