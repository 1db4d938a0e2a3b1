"""The REST gateway as a supervised child: started when Triton is ready, and drained before Triton."""

import http.client
import os
from collections.abc import Callable

from serving import checks
from serving.addresses import in_url
from serving.command_child import CommandChild
from serving.launcher import ENDPOINT, TritonServer
from serving.pump import Sink
from serving.runtime import PACKAGE, find_interpreter

PROBE_SECONDS = 2.0
ACCESS_LOG = ".cache/gateway/access.log"


class GatewayChild(CommandChild):
    """`python -m gateway` in front of this server, run by the server's Python.

    port: 0 picks a free one. Other settings come from environment variables (docs/guides/gateway.md). The
    access log goes to a file unless ACCESS_LOG says otherwise. Raises ServingError where the port is taken.
    """

    def __init__(self, server: TritonServer, port: int, log: Sink) -> None:
        host = os.environ.get("GATEWAY_HOST") or "127.0.0.1"
        checks.check_ports(host, {"GATEWAY_PORT": port})
        self.host, self.port, self._server = host, port or checks.free_ports(host, 1)[0], server
        announcement = f"gateway: gateway at {self.url}"
        super().__init__(
            "gateway",
            [],
            self._answers,
            folder=PACKAGE.parent,
            log=lambda line: None if line == announcement else log(line),
        )

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:8080`."""
        return f"http://{in_url(self.host)}:{self.port}"

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start, and return when it answers. Triton must have started, so that its port is known."""
        python = find_interpreter(self._server.options.python).executable
        self._command = [python, "-m", "gateway"]
        self._environment = {
            **os.environ,
            "ACCESS_LOG": os.environ.get("ACCESS_LOG") or ACCESS_LOG,
            "GATEWAY_HOST": self.host,
            "GATEWAY_PORT": str(self.port),
            "TRITON_URL": self._server.grpc_url,
            ENDPOINT: self._server.options.otlp_endpoint,
        }
        super().start(cancelled)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
