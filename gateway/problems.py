"""Errors as problem details (RFC 9457), in the words of a person who sent a request.

    raise Problem(415, "The body must be JSON.", kind="unsupported-media-type")

Every answer of status 400 and above has this form, whatever raised it. `type` is a link to the line of
`/problems` that explains the kind.
"""

import logging

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
from gateway.problem import KIND_OF_STATUS, KINDS, Problem

MEDIA_TYPE = "application/problem+json"
RESTART_SECONDS = 5.0  # what Triton takes to start
log = logging.getLogger("gateway")


def from_client(error: SentimentError, backlog_seconds: float) -> Problem:
    """What a caller of the gateway gets for an error of `clients`. It names no internal address."""
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
    app.add_exception_handler(Problem, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(SentimentError, _ours)


def respond(request: Request, problem: Problem) -> Response:
    """The problem's answer to this request."""
    request.state.problem = problem.kind
    body = problem.body(request.url.path, getattr(request.state, "request_id", ""))
    return Response(to_json(body), problem.status, problem.headers, MEDIA_TYPE)


def answer_error(request: Request, error: Problem | SentimentError) -> Response:
    """The answer of a request that ended with this error."""
    if isinstance(error, SentimentError):
        error = from_client(error, request.app.state.services.backlog.seconds)
    return respond(request, error)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem | SentimentError)
    return answer_error(request, error)


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
