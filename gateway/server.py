"""Runs the application under uvicorn: one process, one event loop, drained when it is told to stop."""

import signal
import socket
from types import FrameType

import uvicorn

from gateway.app import create_app
from gateway.errors import GatewayError
from gateway.http_protocol import OneWriteProtocol
from gateway.logs import configure
from gateway.settings import Settings

BACKLOG = 2048


def serve(settings: Settings) -> int:
    """Serves until SIGINT or SIGTERM, then answers what is in flight. Returns the exit status.

    Raises GatewayError when a setting or the port can't be used.
    """
    configure(settings)
    app = create_app(settings)
    listener = _listen(settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        http=OneWriteProtocol,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.drain_timeout,
        ws="none",
        lifespan="on",
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    print(f"gateway at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _nothing)  # uvicorn sends itself the signal again when it has drained
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _nothing(number: int, frame: FrameType | None) -> None:
    return


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise GatewayError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): stop its owner or set "
            "GATEWAY_PORT to another port"
        ) from None
    listener.listen(BACKLOG)
    return listener
