"""gunicorn's hook that tells when a worker has loaded its models; nothing else is configured here."""

import sys
from typing import Any

READY = "worker is ready"


def post_worker_init(worker: Any) -> None:
    """gunicorn calls this in each worker once the app is loaded."""
    print(READY, file=sys.stderr, flush=True)
