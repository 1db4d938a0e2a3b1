"""Single texts that come close together go to Triton as one request.

The gateway runs on the cores that the model computes on, and a gRPC call costs processor time in Python and
in Triton. So while texts are at work, those that come wait for each other, as Nagle's algorithm has bytes
wait (RFC 896). A lone client's text never waits. docs/guides/gateway.md has the figures.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from clients import InvalidText, ServerError
from clients.pipeline import Outcome

AT_ONCE = 4  # texts at work before others wait: enough to keep two cores busy
MOST_TEXTS = 4  # of a request: they are answered together, so each waits for the slowest
PATIENCE = 0.005  # seconds that a text waits for others at most
LONGEST = 4096  # characters, two runs of 512 tokens; others would wait for a longer text, so it goes alone

# Sends texts with a request id, a timeout in seconds and a trace context.
Send = Callable[[tuple[str, ...], str, float, str], Awaitable[list[Outcome]]]


@dataclass
class _Group:
    timeout: float
    texts: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    outcomes: list[asyncio.Future[Outcome]] = field(default_factory=list)


class Gathering:
    """Belongs to one event loop."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._at_work = 0
        self._waiting: _Group | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def outcome(self, text: str, request_id: str, timeout: float, traceparent: str) -> Outcome:
        """The outcome of this text. Raises what `send` raises.

        Texts that go together have the same timeout, because a request to Triton has one. A text with a
        trace goes alone, because a request belongs to one trace.
        """
        if self._waits(text, timeout, traceparent):
            return await self._join(text, request_id, timeout)
        self._at_work += 1
        try:
            [outcome] = await self._send((text,), request_id, timeout, traceparent)
        finally:
            self._leave(1)
        return outcome

    def _waits(self, text: str, timeout: float, traceparent: str) -> bool:
        if self._at_work < AT_ONCE or len(text) > LONGEST or traceparent:
            return False
        return self._waiting is None or self._waiting.timeout == timeout

    def _join(self, text: str, request_id: str, timeout: float) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        group = self._waiting
        if group is None:
            group = self._waiting = _Group(timeout)
            loop.call_later(PATIENCE, self._depart, group)
        outcome: asyncio.Future[Outcome] = loop.create_future()
        group.texts.append(text)
        group.request_ids.append(request_id)
        group.outcomes.append(outcome)
        if len(group.texts) == MOST_TEXTS:
            self._depart(group)
        return outcome

    def _depart(self, group: _Group) -> None:
        if group is not self._waiting:
            return  # it went before its patience ended
        self._waiting = None
        self._at_work += len(group.texts)
        task = asyncio.create_task(self._answer(group))
        self._tasks.add(task)  # the loop itself keeps no strong reference
        task.add_done_callback(self._tasks.discard)

    def _leave(self, texts: int) -> None:
        self._at_work -= texts
        if self._waiting is not None and self._at_work < AT_ONCE:
            self._depart(self._waiting)

    async def _answer(self, group: _Group) -> None:
        try:
            answers = await self._answers(group)
        except asyncio.CancelledError:
            for future in group.outcomes:
                future.cancel()  # nobody shall wait for ever
            raise
        finally:
            self._leave(len(group.texts))
        for future, answer in zip(group.outcomes, answers, strict=True):
            if future.cancelled():
                continue
            if isinstance(answer, BaseException) and not isinstance(answer, InvalidText):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _answers(self, group: _Group) -> list[Outcome | BaseException]:
        """An outcome of each text, or what its caller is to get raised."""
        texts, ids = group.texts, group.request_ids
        try:
            return [*await self._send(tuple(texts), " ".join(ids), group.timeout, "")]
        except ServerError as error:
            # One text may have caused it. The others shall not fail with it.
            if len(texts) == 1:
                return [error]
            each = (self._send((text,), id_, group.timeout, "") for text, id_ in zip(texts, ids, strict=True))
            found = await asyncio.gather(*each, return_exceptions=True)
            return [answer if isinstance(answer, BaseException) else answer[0] for answer in found]
        except Exception as error:
            return [error] * len(texts)
