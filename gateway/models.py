"""The models, asked through the SDK: it has the connections to Triton, the splitting and the flow control."""

import asyncio
from collections.abc import Mapping, Sequence

from clients import AsyncSentimentClient, Limits
from clients.batching import Batch
from clients.endpoint import Endpoint
from clients.grpc_aio_transport import GrpcAioTransport
from clients.pipeline import Outcome
from clients.transport import OpenTransport
from gateway.gathering import Gathering
from gateway.labels import Description, describe
from gateway.problem import Problem
from gateway.settings import Settings
from gateway.tracing import traceparent

LISTS_IN_FLIGHT = 8


def shared_pool() -> OpenTransport:
    """Opens one pool of connections to Triton, the same for all clients. It closes with the first of them."""
    pools: list[GrpcAioTransport] = []

    def connect(endpoint: Endpoint, headers: Mapping[str, str]) -> GrpcAioTransport:
        if not pools:
            pools.append(GrpcAioTransport(endpoint, headers))
        return pools[0]

    return connect


class Model:
    """One ensemble. Single texts are sent once; lists are tried again while the caller waits."""

    def __init__(self, name: str, settings: Settings, transport: OpenTransport) -> None:
        self.name = name
        timeout = settings.request_timeout
        at_once = Limits(timeout=timeout, deadline=0, max_in_flight=settings.max_in_flight)
        lists = Limits(timeout=timeout, deadline=timeout, max_in_flight=LISTS_IN_FLIGHT)
        self.lists = AsyncSentimentClient(settings.triton_url, "grpc", name, lists, transport=transport)
        self.single = AsyncSentimentClient(settings.triton_url, "grpc", name, at_once, transport=transport)
        self._gathering = Gathering(self._at_once)
        self._description: Description | None = None

    async def outcomes(self, texts: Sequence[str], request_id: str, timeout: float) -> list[Outcome]:
        """One outcome a text, in order. Raises TimeoutError after `timeout` s, and what `clients` raises."""
        context = traceparent()
        async with asyncio.timeout(timeout):
            if len(texts) == 1:
                return [await self._gathering.outcome(texts[0], request_id, timeout, context)]
            return [outcome async for outcome in self.lists.outcomes(texts, request_id, timeout, context)]

    async def _at_once(
        self, texts: tuple[str, ...], request_id: str, timeout: float, context: str
    ) -> list[Outcome]:
        # Each is the only text of its caller's list.
        return await self.single.classify_batch(Batch((0,) * len(texts), texts), request_id, timeout, context)

    async def description(self, fresh: bool = False) -> Description:
        """Labels, versions and limits, as the server has them. It is asked once, unless `fresh`."""
        if self._description is None or fresh:
            self._description = describe(await self.single.model_config())
        return self._description

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(self.single.close(), self.lists.close())


class Models:
    """The models by name."""

    def __init__(self, settings: Settings) -> None:
        pool = shared_pool()
        self._models = {name: Model(name, settings, pool) for name in settings.models}
        self.default = settings.models[0]

    @property
    def names(self) -> list[str]:
        """All that are offered, the default one first."""
        return list(self._models)

    def get(self, name: str) -> Model:
        """The model of this name. Raises Problem 404."""
        if name not in self._models:
            known = ", ".join(self._models)
            raise Problem(404, f"There is no model {name[:64]!r}; there are {known}.", kind="model-not-found")
        return self._models[name]

    async def is_ready(self) -> dict[str, bool]:
        """Which models can answer now; a server that is down raises nothing."""
        states = await asyncio.gather(*(model.single.is_ready() for model in self._models.values()))
        return dict(zip(self._models, states, strict=True))

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(model.close() for model in self._models.values()))
