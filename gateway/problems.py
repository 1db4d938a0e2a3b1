"""Errors as problem details (RFC 9457), in the words of a person who sent a request.

    raise Problem(415, "The body must be JSON.", kind="unsupported-media-type")

Every answer of status 400 and above has this form, whatever raised it. `type` is a link to the line of
`/problems` that explains the kind.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from clients import (
    InvalidText,
    ModelNotFound,
    RequestTimeout,
    SentimentError,
    ServerBusy,
    ServerUnavailable,
)
from gateway.places import describe_errors

MEDIA_TYPE = "application/problem+json"
RESTART_SECONDS = 5.0  # what Triton takes to start
log = logging.getLogger("gateway")

KINDS = {
    "bad-request": "The request could not be read. The detail says where it stopped making sense.",
    "unauthorized": "This service wants an API key, as Authorization: Bearer KEY or X-API-Key: KEY.",
    "not-found": "There is nothing at this address. /docs lists what there is.",
    "method-not-allowed": "The address exists, the method does not. Allow lists those that do.",
    "model-not-found": "The server has no model of this name. GET /v1/models lists them.",
    "too-large": "The body, a text, or the number of texts is over a limit. GET /v1/models has the limits.",
    "unsupported-media-type": "The body has a type that this address does not read.",
    "invalid": "The JSON was read, and a field of it is missing or wrong. `errors` has each one's place.",
    "rate-limited": "This caller sent more texts than it may in a minute. Wait for Retry-After seconds.",
    "busy": "More work is waiting than can be done soon. Wait for Retry-After seconds and send it again.",
    "unavailable": "The model server is starting, stopping or down. Wait for Retry-After seconds.",
    "timeout": "The answer took longer than the request's timeout. Send less at once, or allow more.",
    "failed": "Something broke on our side. The request id finds it in the log.",
}  # fmt: skip
KIND_OF_STATUS = {
    400: "bad-request", 401: "unauthorized", 404: "not-found", 405: "method-not-allowed", 413: "too-large",
    415: "unsupported-media-type", 422: "invalid", 429: "rate-limited", 503: "unavailable", 504: "timeout",
}  # fmt: skip


class Problem(Exception):
    """An answer other than the one that was asked for.

    detail: one or two sentences that say what to do. kind: of KINDS; by default the status's own.
    retry_after: seconds, sent rounded up. extra: further members of the JSON object.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind or KIND_OF_STATUS.get(status, "failed" if status >= 500 else "bad-request")
        self.headers = dict(headers or {})
        self.extra = extra
        if retry_after is not None:
            seconds = max(1, math.ceil(retry_after))
            self.headers["Retry-After"] = str(seconds)
            self.extra["retry_after"] = seconds

    def response(self, instance: str, request_id: str) -> Response:
        """The answer; `instance` is the request's path."""
        body = {
            "type": f"/problems#{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.extra,
        }
        return Response(to_json(body), self.status, self.headers, MEDIA_TYPE)


def from_client(error: SentimentError, backlog_seconds: float) -> Problem:
    """What an error of `clients` is to a caller of the gateway; no address of the inside is told."""
    wait = getattr(error, "retry_after", None) or backlog_seconds
    match error:
        case InvalidText() if "bytes, more than the limit" in error.reason:
            return Problem(413, f"The text {error.reason}.")
        case InvalidText():
            return Problem(422, f"The text {error.reason}.")
        case ServerBusy():
            return Problem(503, "The server is busy; try again shortly.", kind="busy", retry_after=wait)
        case ServerUnavailable():
            detail = "The model server is starting, stopping or down; try again shortly."
            return Problem(503, detail, retry_after=max(wait, RESTART_SECONDS))
        case RequestTimeout():
            return Problem(504, "The model server did not answer in time; send less at once, or allow more.")
        case ModelNotFound():
            return Problem(404, "The server has no such model now.", kind="model-not-found")
    log.error("unexpected answer of the model server: %s", error)
    return Problem(502, "The model server gave an answer that can't be used.", kind="failed")


def install(app: FastAPI) -> None:
    """Gives every error of the application this form."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(SentimentError, _client)


def respond(request: Request, problem: Problem) -> Response:
    """The problem's answer to this request."""
    request.state.problem = problem.kind
    return problem.response(request.url.path, getattr(request.state, "request_id", ""))


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = KIND_OF_STATUS.get(error.status_code, "")
    detail = KINDS.get(kind, str(error.detail))
    return respond(request, Problem(error.status_code, detail, headers=error.headers))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # FastAPI puts the source, such as "query", before the place.
    found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]
    detail, errors = describe_errors(found)
    return respond(request, Problem(422, detail, errors=errors))


async def _client(request: Request, error: Exception) -> Response:
    assert isinstance(error, SentimentError)
    return respond(request, from_client(error, request.app.state.services.backlog.seconds))
