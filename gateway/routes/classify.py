"""POST /v1/classify: texts in, labels out."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clients import RequestTimeout, SentimentError
from clients.pipeline import Outcome
from gateway.bodies import read_json
from gateway.callers import Caller, current_caller, identify
from gateway.front import Front
from gateway.models import Model
from gateway.problem import Problem
from gateway.problems import answer_error, from_client
from gateway.schemas import Answer, ClassifyBody, ClassifyRequest, openapi_body, problems
from gateway.services import Services


class DirectRoute(APIRoute):
    """In OpenAPI like any other route, but called without FastAPI's solving of dependencies (0.8 ms)."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the endpoint itself, which takes the request and returns the response."""
        if scope["method"] not in self.methods:
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await self.endpoint(request)
        except (Problem, SentimentError) as error:
            response = answer_error(request, error)
        await response(scope, receive, send)


class Shortcut:
    """Hands the route below its requests at once: FastAPI's layers and its search for the route cost time."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        [route] = router.routes
        assert isinstance(route, DirectRoute)
        self._app, self._route = app, route
        self._front = Front(route.handle, services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request whose path and method are the route's; the application has the others."""
        if scope.get("path") == self._route.path and scope["method"] in self._route.methods:
            scope["app"], scope["route"] = self._app, self._route
            await self._front(scope, receive, send)
        else:
            await self._app(scope, receive, send)


router = APIRouter(route_class=DirectRoute)


@router.post(
    "/v1/classify",
    response_model=list[Answer],
    responses=problems(400, 401, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=openapi_body(ClassifyBody),
    dependencies=[Depends(current_caller)],
    tags=["classify"],
)
async def classify(request: Request) -> Response:
    """Classifies one text or a list of them.

    The body is an object with `text` or `texts`, or, shorter, a JSON string or list of strings. The answer is
    a list with one object a text, in the order of the texts. In a list, a text that is refused gives an
    object with `error` in its place and costs the others nothing; a single one gives a problem.
    """
    services: Services = request.app.state.services
    caller = identify(request)
    asked = ClassifyRequest.of(await read_json(request), services.settings)
    texts = asked.all_texts
    model = services.models.get(asked.model or services.models.default)
    outcomes = await ask(request, services, caller, model, texts, asked.timeout)
    if len(outcomes) == 1 and isinstance(outcomes[0], Exception):
        raise from_client(outcomes[0], services.backlog.seconds)
    description = await model.description()
    answers = [answer(i, outcome, description.named, asked.top_k) for i, outcome in enumerate(outcomes)]
    return Response(to_json(answers), media_type="application/json")


async def ask(
    request: Request,
    services: Services,
    caller: Caller,
    model: Model,
    texts: list[str],
    timeout: float | None,
) -> list[Outcome]:
    """The model's outcomes, within the caller's rate limit, the gateway's MAX_IN_FLIGHT and the time limit.

    Raises Problem (413, 429, 503, 504) or what `clients` raises.
    """
    state = request.scope["state"]
    state["model"], state["texts"] = model.name, len(texts)
    services.limiter.take(caller, len(texts))
    limit = min(timeout or services.settings.request_timeout, services.settings.request_timeout)
    with services.backlog.admit(len(texts)):
        try:
            outcomes = await model.outcomes(texts, state["request_id"], limit)
        except (TimeoutError, RequestTimeout):
            raise Problem(504, f"No answer within {limit:g} s; send less at once, or allow more.") from None
    tokens = sum(outcome.num_tokens for outcome in outcomes if not isinstance(outcome, Exception))
    services.metrics.texts(model.name).inc(len(texts))
    services.metrics.tokens(model.name).inc(tokens)
    state["tokens"] = tokens
    return outcomes


def answer(index: int, outcome: Outcome, named: Any, top_k: int | None = None) -> dict[str, Any]:
    """The object of one text. named: gives probabilities (regression: values) by label, the largest first."""
    if isinstance(outcome, Exception):
        problem = from_client(outcome, 0.0)
        return {"index": index, "error": problem.detail}
    fields = outcome.to_dict() | {"index": index}
    for name in {"probabilities", "values"} & fields.keys():
        fields[name] = dict(list(named(fields[name]).items())[:top_k])
    return fields
