"""`python -m gateway.tasks`: a Celery worker for the background tasks."""

import os
import sys
import warnings
from typing import Any

from celery import signals

from gateway.errors import GatewayError
from gateway.logs import configure
from gateway.settings import Settings
from gateway.tasks.sweeper import Sweeper
from gateway.tasks.worker import Worker


def main() -> int:
    """Works until SIGTERM; then the chunks in hand are given back. Settings come from the environment."""
    # Celery warns root of pickled messages; here they are JSON.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    try:
        settings = Settings.from_environment()
        configure(settings)
        worker = Worker(settings)
    except GatewayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sweeper = Sweeper(worker, start_anew)
    if not settings.broker_url:
        worker.app.control.purge()
        sweeper.revive()

    @signals.worker_ready.connect(weak=False)
    def ready(**details: Any) -> None:
        sweeper.start()
        print("worker is ready", flush=True)

    @signals.worker_shutting_down.connect(weak=False)
    def stop(**details: Any) -> None:
        worker.stopping.set()

    options = ["--pool", "threads", "--concurrency", str(settings.task_concurrency), "--loglevel", "WARNING"]
    worker.app.worker_main(["--quiet", "worker", *options, "--without-gossip", "--without-mingle"])
    return 0


def start_anew() -> None:
    """The same process, from its beginning; chunks in hand are scored again."""
    os.execv(sys.executable, [sys.executable, "-m", "gateway.tasks"])


if __name__ == "__main__":
    sys.exit(main())
