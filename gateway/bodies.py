"""Reads a JSON body; says in words, and with the place, what is wrong with it."""

from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from gateway.problem import Problem

CURL_HINT = (
    "Send JSON with the header Content-Type: application/json. "
    "With curl, write --json '...' instead of -d '...'."
)


async def read_json(request: Request) -> Any:
    """The body as Python values. Raises Problem 400 or 415."""
    check_media_type(request)
    body = await _body(request.receive)
    if not body.strip():
        raise Problem(400, 'The body is empty. Send JSON such as {"text": "A warm, funny and clever film."}.')
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {_in_words(str(error), body)}.") from None


async def _body(receive: Receive) -> bytes:
    """What Request.body() gives, without its generators."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def check_media_type(request: Request) -> None:
    """Raises Problem 415 for anything but JSON in UTF-8.

    Forms are refused on purpose: a page of another site may send those without being asked.
    """
    media_type, _, parameters = request.headers.get("content-type", "application/json").lower().partition(";")
    media_type = media_type.strip()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Problem(415, f"The body's type is {media_type[:80] or 'empty'}. {CURL_HINT}")
    name, _, charset = parameters.strip().partition("=")
    if name.strip() == "charset" and charset.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "JSON is read as UTF-8 only; encode the body so, and leave the charset away.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Compressed bodies are not read; send it as it is.")


def _in_words(message: str, body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    return message.replace("EOF while parsing", "it ends inside")
