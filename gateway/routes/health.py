"""For probes and Prometheus: /healthz, /readyz, /metrics."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from gateway.problem import Problem
from gateway.schemas import problems
from gateway.services import CurrentServices

router = APIRouter(tags=["operations"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Whether this process answers. It says nothing about the model server."""
    return "ok"


@router.get("/readyz", responses=problems(503))
async def readyz(services: CurrentServices) -> dict[str, bool]:
    """Whether a request would be answered: 200 where the default model is ready; the models by name."""
    ready = await services.models.is_ready()
    if not ready[services.models.default]:
        raise Problem(503, "The model server is starting, stopping or down.", retry_after=5, models=ready)
    return ready


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(services: CurrentServices) -> Response:
    """Prometheus' text format."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)
