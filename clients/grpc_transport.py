"""Triton over gRPC, through tritonclient's callbacks.

Not through tritonclient.grpc.aio: gRPC's asyncio support has one completion queue for the whole process. So
event loops in two threads wake each other up, and log an exception each time; a loop that has ended is still
called (https://github.com/grpc/grpc/issues/25364). The callback interface is thread-safe. A process
with one event loop may use grpc_aio_transport.py, which is faster.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import tritonclient.grpc as triton_grpc

from .endpoint import Endpoint
from .forks import calls
from .request_options import RequestOptions
from .sentiment import Sentiment
from .tensors import INPUT, read_sentiments, text_tensor

T = TypeVar("T")
# Triton bounds the size of messages itself. After a restart of the server, gRPC's own back-off could wait
# minutes. Without a pool of its own, a client made after a fork would use the connection of its parent. With
# keepalive, gRPC sets TCP_USER_TIMEOUT: a server whose host has vanished is noticed 20 s after a request, not
# after a quarter of an hour. The pings are no more frequent than Triton allows (300 s).
CHANNEL = [
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class GrpcTransport:
    """The time limit travels with a request, so the server can drop what nobody waits for."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        self._headers = lower_case(headers)
        self._client = triton_grpc.InferenceServerClient(
            endpoint.address, ssl=endpoint.tls, channel_args=CHANNEL
        )

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]:
        answer = Answer()
        arguments = _arguments(texts, options, self._headers)
        calls.begin()
        try:
            call = self._client.async_infer(model, callback=answer.deliver, **arguments)
        except BaseException:
            calls.end()
            raise
        try:
            result = await answer.future
        except asyncio.CancelledError:
            call.cancel()
            raise
        return read_sentiments(result.as_numpy, len(texts))

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]:
        answer = await self._ask(self._client.get_model_config, model, as_json=True, client_timeout=timeout)
        return answer["config"]

    async def is_ready(self, model: str, timeout: float) -> bool:
        return await self._ask(self._client.is_model_ready, model, client_timeout=timeout)

    async def _ask(self, question: Callable[..., T], model: str, **arguments: Any) -> T:
        def ask() -> T:
            with calls.one():
                return question(model, "", self._headers, **arguments)

        return await asyncio.to_thread(ask)

    async def close(self) -> None:
        self._client.close()


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as gRPC takes them."""
    return {name.lower(): value for name, value in headers.items()}


def _arguments(texts: Sequence[str], options: RequestOptions, headers: Mapping[str, str]) -> dict[str, Any]:
    """What `async_infer` takes beside the model's name and the callback."""
    tensor = triton_grpc.InferInput(INPUT, [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(text_tensor(texts))
    return {
        "inputs": [tensor],
        "request_id": options.request_id,
        "timeout": options.microseconds,
        "parameters": options.parameters,
        "headers": options.headers(headers),
        "client_timeout": options.timeout,
    }


class Answer:
    """Carries a response from gRPC's thread to the event loop that awaits it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[triton_grpc.InferResult] = self._loop.create_future()

    def deliver(self, result: triton_grpc.InferResult | None, error: Exception | None) -> None:
        """tritonclient calls this in a thread of gRPC's; the loop may have ended meanwhile."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, result, error)
        calls.end()

    def _settle(self, result: triton_grpc.InferResult | None, error: Exception | None) -> None:
        if self.future.cancelled():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
