"""What a client has in one event loop of one process: connections, places in flight, the server's state."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from .circuit import Circuit
from .endpoint import Endpoint
from .errors import ServerBusy
from .limits import Limits
from .retry import Attempts
from .transport import OpenTransport

# Sessions of the parent of a fork. A finalizer would write to connections that the parent still uses.
_inherited: list["Session"] = []


class Session:
    """Opened inside the event loop that will use it."""

    def __init__(
        self, endpoint: Endpoint, headers: Mapping[str, str], limits: Limits, transport: OpenTransport
    ) -> None:
        self.transport = transport(endpoint, headers)
        self.circuit = Circuit()
        self._limits = limits
        self._places = asyncio.Semaphore(limits.max_in_flight)
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()

    def belongs_here(self) -> bool:
        """Whether this process and event loop may use it; a forked child needs a session of its own.

        Raises RuntimeError where another event loop of this process is at work with it.
        """
        if self._process != os.getpid():
            _inherited.append(self)
            return False
        here = self._loop is asyncio.get_running_loop()
        if not here and not self._loop.is_closed():
            raise RuntimeError("an AsyncSentimentClient belongs to one event loop; make one for each loop")
        return here

    def place(self, attempts: Attempts) -> AbstractAsyncContextManager[None]:
        """A place among the requests in flight, for one attempt; it is free again between attempts.

        Raises the error of a server that stays down, or ServerBusy, when the deadline comes before a place.
        """
        return self._place_in_time(attempts) if attempts.may_repeat else self._places

    @asynccontextmanager
    async def _place_in_time(self, attempts: Attempts) -> AsyncIterator[None]:
        try:
            async with AsyncExitStack() as held:
                async with asyncio.timeout(attempts.seconds_left()):
                    await held.enter_async_context(self.circuit.turn())
                    await held.enter_async_context(self._places)
                yield
        except TimeoutError:
            raise self.circuit.error or self._no_place() from None

    def _no_place(self) -> ServerBusy:
        limits = self._limits
        return ServerBusy(
            f"none of the {limits.max_in_flight} requests on their way ended within {limits.deadline:g} s; "
            "allow more at once (max_in_flight), or wait longer (deadline)"
        )
