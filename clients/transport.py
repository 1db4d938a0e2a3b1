"""What a client needs from a protocol, and the choice between the two that have it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .endpoint import Endpoint
from .grpc_aio_transport import GrpcAioTransport
from .grpc_transport import GrpcTransport
from .http_transport import HttpTransport
from .request_options import RequestOptions
from .sentiment import Sentiment


class Transport(Protocol):
    """One connection pool to one server. Methods raise whatever their library raises."""

    async def infer(self, model: str, texts: Sequence[str], options: RequestOptions) -> list[Sentiment]: ...

    async def model_config(self, model: str, timeout: float) -> Mapping[str, Any]: ...

    async def is_ready(self, model: str, timeout: float) -> bool: ...

    async def close(self) -> None: ...


OpenTransport = Callable[[Endpoint, Mapping[str, str]], Transport]


def open_transport(
    endpoint: Endpoint, headers: Mapping[str, str], connections: int, only_loop: bool
) -> Transport:
    """Opens nothing yet but the pool; must be called inside the event loop that will use it.

    only_loop: no other event loop of this process speaks gRPC.
    """
    if endpoint.protocol == "grpc":
        return GrpcAioTransport(endpoint, headers) if only_loop else GrpcTransport(endpoint, headers)
    return HttpTransport(endpoint, headers, connections)
