"""What the addresses share, made once for an application: `request.app.state.services`."""

from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.access_log import AccessLog
from gateway.backlog import Backlog
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.models import Models
from gateway.rate import RateLimiter
from gateway.settings import Settings
from gateway.tasks.service import TaskService


class Services:
    """Its state belongs to this process: several gateways need not share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backlog = Backlog(settings.max_in_flight)
        self.access_log = AccessLog(settings.access_log)
        self.keys = Keys(settings.api_keys_file) if settings.api_keys_file else None
        self.limiter = RateLimiter()
        self.models = Models(settings)
        self.tasks = TaskService(settings)
        self.metrics = Metrics(self.backlog, self.tasks.store)

    async def close(self) -> None:
        """Closes connections and files."""
        self.tasks.close()
        await self.models.close()
        self.access_log.close()


async def current_services(request: Request) -> Services:
    """The dependency that hands the services to an address."""
    return cast(Services, request.app.state.services)


CurrentServices = Annotated[Services, Depends(current_services)]
