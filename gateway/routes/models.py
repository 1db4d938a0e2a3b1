"""GET /v1/models: what can be asked, and within which limits."""

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel

from clients import SentimentError
from gateway.callers import CurrentCaller
from gateway.models import Model
from gateway.schemas import problems
from gateway.services import CurrentServices

router = APIRouter(tags=["models"])


class ModelBody(BaseModel):
    """labels: in the order of the classes; empty where the server names none, or is not ready."""

    name: str
    ready: bool
    default: bool
    labels: list[str]
    versions: list[int]
    problem_type: str


class LimitsBody(BaseModel):
    """What a request may hold; rate_limit: the caller's texts a minute, 0 is no limit."""

    max_texts: int
    max_body_bytes: int
    max_upload_bytes: int
    max_timeout_seconds: float
    rate_limit: int


class ModelsBody(BaseModel):
    """All models, and the limits of a request."""

    models: list[ModelBody]
    limits: LimitsBody


@router.get("/v1/models", responses=problems(401))
async def models(caller: CurrentCaller, services: CurrentServices) -> ModelsBody:
    """The models, whether they are ready, their labels and versions; and the limits of a request."""
    pool, settings = services.models, services.settings
    found = await asyncio.gather(*(_body(pool.get(name), name == pool.default) for name in pool.names))
    limits = LimitsBody(
        max_texts=settings.max_texts,
        max_body_bytes=settings.max_body,
        max_upload_bytes=settings.max_upload,
        max_timeout_seconds=settings.request_timeout,
        rate_limit=caller.limit,
    )
    return ModelsBody(models=list(found), limits=limits)


async def _body(model: Model, default: bool) -> ModelBody:
    try:
        found = await model.description(fresh=True)
    except SentimentError:
        return ModelBody(
            name=model.name, ready=False, default=default, labels=[], versions=[], problem_type=""
        )
    return ModelBody(
        name=model.name,
        ready=await model.single.is_ready(),
        default=default,
        labels=list(found.labels),
        versions=list(found.versions),
        problem_type=found.problem_type,
    )
