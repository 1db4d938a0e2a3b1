"""Who is calling: an API key's id, or "anonymous" where no keys are asked for."""

from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.problem import KINDS, Problem

BEARER = HTTPBearer(auto_error=False, description="An API key, where the service asks for one.")
HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
WITHOUT_KEYS = "anonymous"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gateway"'}


class Caller(NamedTuple):
    """id: of the API key, or "anonymous". share: whose rate limit is used up. limit: texts a minute, or 0."""

    id: str
    share: str
    limit: int


def identify(request: Request) -> Caller:
    """Who sent this request; the access log learns it. Raises Problem 401."""
    services = request.app.state.services
    caller = _anonymous(request) if services.keys is None else _known(request)
    request.scope["state"]["caller"] = caller.id
    return caller


async def current_caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
    header: Annotated[str | None, Security(HEADER)],
) -> Caller:
    """The dependency of the addresses under /v1. Its parameters tell OpenAPI the two ways to send a key."""
    return identify(request)


CurrentCaller = Annotated[Caller, Depends(current_caller)]


def _anonymous(request: Request) -> Caller:
    address = request.client.host if request.client else ""
    return Caller(WITHOUT_KEYS, address, request.app.state.services.settings.rate_limit)


def _known(request: Request) -> Caller:
    services = request.app.state.services
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
    if not given:
        raise Problem(401, KINDS["unauthorized"], headers=CHALLENGE)
    key = services.keys.find(given)
    if key is None:
        raise Problem(401, "This API key is not known here, or was revoked.", headers=CHALLENGE)
    limit = services.settings.rate_limit if key.limit is None else key.limit
    return Caller(key.id, key.id, limit)
