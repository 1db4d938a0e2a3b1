"""Puts the application together.

create_app(Settings(port=0)) is an ordinary ASGI application; `python -m gateway` runs it under uvicorn.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway import problems
from gateway.front import Front
from gateway.routes import classify, explain, health, models, page
from gateway.services import Services
from gateway.settings import Settings
from gateway.tasks import routes as tasks
from gateway.tracing import telemetry

DESCRIPTION = """Classifies texts with MobileBERT on NVIDIA Triton.

Errors are problem details (RFC 9457). Every answer has an `X-Request-ID`; send your own to find a request in
the log. `429` and `503` say in `Retry-After` when to come back.
"""
ROUTERS = (classify.router, tasks.router, explain.router, models.router, health.router, page.router)


def create_app(settings: Settings) -> ASGIApp:
    """The application. Raises GatewayError for settings that can't be used."""
    services = Services(settings)
    app = FastAPI(
        title="Text classification",
        version="1.0.0",
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=telemetry(settings),
    )
    app.state.services = services
    problems.install(app)
    for router in ROUTERS:
        # Not include_router: it keeps a router within the router, and each request is then matched twice.
        app.router.routes.extend(router.routes)
    page.mount(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "x-api-key",
                "x-request-id",
                "idempotency-key",
                "traceparent",
            ],
            expose_headers=["x-request-id", "retry-after", "location"],
        )
    app.add_middleware(Front, services=services)
    # FastAPI's own way through the application also names the spans, and has the layer for CORS.
    return app if settings.otlp_endpoint or settings.cors_origins else classify.Shortcut(app, services)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.services.close()
