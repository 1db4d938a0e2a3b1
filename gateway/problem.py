"""An error in words for the caller; problems.py turns it into an answer."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

KINDS = {
    "bad-request": "The request could not be read. The detail says where it stopped making sense.",
    "unauthorized": "This service wants an API key, as Authorization: Bearer KEY or X-API-Key: KEY.",
    "forbidden": "A web page of another site sent this. CORS_ORIGINS names the sites whose pages may.",
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
    "conflict": "The task is in a state in which this can't be done. Its address says in which.",
    "no-range": "The results have no such bytes. Content-Range says how many there are.",
    "disk-full": "The service has no room to store this. Wait for Retry-After seconds, or send less.",
    "failed": "Something broke on our side. The request id finds it in the log.",
}  # fmt: skip
KIND_OF_STATUS = {
    400: "bad-request", 401: "unauthorized", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
    409: "conflict", 413: "too-large", 415: "unsupported-media-type", 416: "no-range", 422: "invalid",
    429: "rate-limited", 503: "unavailable", 504: "timeout", 507: "disk-full",
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

    def body(self, instance: str, request_id: str) -> dict[str, Any]:
        """The JSON object (RFC 9457); `instance` is the request's path."""
        return {
            "type": f"/problems#{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.extra,
        }
