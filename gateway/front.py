"""What every request passes first: its id, limits on its body, headers of its answer, log and metrics.

Plain ASGI, because Starlette's BaseHTTPMiddleware costs a task and a queue for each request.
"""

import asyncio
import logging
import random
import re
import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problem import Problem
from gateway.problems import respond
from gateway.services import Services
from gateway.tracing import request_span, trace_id

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
UPLOADS = "/v1/tasks"
# Only the pages need more than this; they set their own policy.
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": API_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
log = logging.getLogger("gateway")


class Front:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(scope, receive, send, self._limit(scope["path"]))
        try:
            visit.check_length()
            await self._app(scope, visit.receive, visit.send)
        except Problem as problem:
            await visit.refuse(problem)
        except Exception:
            if visit.receiver_gone:
                return
            log.exception("request %s failed", visit.request_id, extra={"request_id": visit.request_id})
            await visit.refuse(Problem(500, "Something broke on our side; the log knows the request id."))
        finally:
            # In the loop's next round: other answers go first.
            asyncio.get_running_loop().call_soon(self._record, scope, visit)

    def _limit(self, path: str) -> int:
        settings = self._services.settings
        return settings.max_upload if path.startswith(UPLOADS) else settings.max_body

    def _record(self, scope: Scope, visit: "Visit") -> None:
        seconds = time.perf_counter() - visit.began
        state, metrics = visit.state, self._services.metrics
        route = getattr(scope.get("route"), "path", "other")
        metrics.requests(scope["method"], route, str(visit.status)).inc()
        metrics.latency(route).observe(seconds)
        if kind := state.get("problem"):
            metrics.refusals(kind).inc()
        self._services.access_log.write(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request_id": visit.request_id,
                "trace_id": trace_id(visit.span),
                "caller": state.get("caller"),
                "client": (scope.get("client") or [None])[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": visit.status,
                "ms": round(1000 * seconds, 2),
                "bytes_in": visit.received,
                "bytes_out": visit.sent,
                **{name: state[name] for name in ("model", "texts", "tokens", "problem") if name in state},
            }
        )


class Visit:
    """One request and its answer. `status` is 499 until the answer has begun: the client may have left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self.began = time.perf_counter()
        self.status = 499
        self.received = self.sent = 0
        self.receiver_gone = False
        self.state: dict[str, Any] = scope.setdefault("state", {})
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._headers = dict(scope["headers"])
        given = self._headers.get(b"x-request-id", b"").decode("latin-1")
        known = given and REQUEST_ID.fullmatch(given)
        self.request_id = self.state["request_id"] = given if known else f"{random.getrandbits(64):016x}"
        self.span = request_span(self.request_id)

    def check_length(self) -> None:
        """Refuses a body whose Content-Length is over the limit, before any of it is read."""
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limit:
            raise self._too_large()

    async def receive(self) -> Message:
        """Counts what arrives. Raises Problem 413 above the limit."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self._limit:
                raise self._too_large()
        elif self.status == 499:
            self.receiver_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Adds the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            given = {name.lower() for name, _ in headers}
            headers.append((b"x-request-id", self.request_id.encode()))
            headers.extend(header for header in RAW_HEADERS if header[0] not in given)
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answers with a problem, unless an answer has begun."""
        if self.status != 499:
            raise problem
        await respond(Request(self._scope), problem)(self._scope, self._receive, self.send)

    def _too_large(self) -> Problem:
        size = f"{self._limit / (1 << 20):g} MiB"
        # What is left of the body is not read, so the connection can't serve another request.
        return Problem(413, f"The body is larger than {size}.", headers={"Connection": "close"})
