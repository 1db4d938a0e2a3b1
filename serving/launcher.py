"""Runs tritonserver as a child process: checks, start, readiness, drain.

with TritonServer("model_repository", http_port=0, grpc_port=0, metrics_port=0) as server:
    requests.post(f"{server.http_url}/v2/models/sentiment/generate", json={"text": "A delight."})
"""

import http.client
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from serving import checks, processes
from serving.connections import close_idle
from serving.devices import has_gpu
from serving.errors import ServingError
from serving.interpreter import Interpreter, ask, describe
from serving.logs import LogFilter
from serving.options import ServerOptions, arguments
from serving.repository import find_models
from serving.runtime import PACKAGE, assemble

SERVER_PYTHON = PACKAGE.parent / ".venv" / "server" / "bin" / "python"
POLL_SECONDS = 0.05
PORTS = {"HTTP_PORT": "http_port", "GRPC_PORT": "grpc_port", "METRICS_PORT": "metrics_port"}


class TritonServer:
    """A live server between `__enter__` and `__exit__`; keyword arguments are those of ServerOptions."""

    def __init__(
        self, model_repository: str | Path, *, log: Callable[[str], None] | None = None, **settings: Any
    ) -> None:
        self.options = ServerOptions(Path(model_repository), **settings)
        self.models: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self._log = log or (lambda line: print(line, file=sys.stderr))
        self._filter = LogFilter(self.options.verbose, has_gpu())
        self._early: deque[str] = deque()  # a failed start is told in one line instead
        self._ready = False
        self._process: subprocess.Popen[str] | None = None
        self._shm_prefix = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def http_url(self) -> str:
        """Such as `http://127.0.0.1:8000`."""
        return f"http://{self.options.host}:{self.options.http_port}"

    @property
    def grpc_url(self) -> str:
        """Such as `127.0.0.1:8001`, without a scheme, as gRPC clients take it."""
        return f"{self.options.host}:{self.options.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Such as `http://127.0.0.1:8002/metrics`."""
        return f"http://{self.options.host}:{self.options.metrics_port}/metrics"

    @property
    def pid(self) -> int:
        """Process id of tritonserver, and of its process group."""
        if self._process is None:
            raise ServingError("the server is not running: start it first")
        return self._process.pid

    @property
    def log_lines(self) -> list[str]:
        """The last lines of the server's log, shown or not."""
        return list(self._filter.kept)

    def start(self) -> None:
        """Check, launch and wait until every model is ready. Raises ServingError."""
        python = find_interpreter(self.options.python)
        self._prepare(python)
        runtime = assemble(python)
        self._shm_prefix = f"mobilebert_{self.options.http_port}_"
        command = [str(runtime.binary), *arguments(self.options, runtime, self._shm_prefix)]
        self._process = processes.spawn(command, runtime.environment, runtime.backends)
        threading.Thread(target=self._pump, args=(self._process,), daemon=True).start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _prepare(self, python: Interpreter) -> None:
        checks.check_interpreter(python)
        checks.check_repository(self.options.model_repository)
        checks.check_ports(
            self.options.host, {name: getattr(self.options, key) for name, key in PORTS.items()}
        )
        chosen = iter(checks.free_ports(self.options.host, len(PORTS)))
        ports: dict[str, Any] = {key: getattr(self.options, key) or next(chosen) for key in PORTS.values()}
        self.options = replace(self.options, **ports)
        self._choose_models()

    def _choose_models(self) -> None:
        """Triton exits when a model lacks its artefacts.

        So it is given the names of those that have them, or, where it follows the repository, told to wait
        for the others.
        """
        ready, missing = find_models(self.options.model_repository, self.options.model_config_name)
        self.models = self.options.load_models or ready
        if self.options.load_models:
            return
        self.skipped = self._filter.ignored = missing
        if self.options.model_control_mode == "poll":
            self.options = replace(self.options, tolerate_failures=bool(missing))
        elif missing or self.options.model_control_mode == "explicit":
            self.options = replace(self.options, load_models=ready)

    def _pump(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if self._filter.shows(line.rstrip("\n")):
                self._early.append(line.rstrip("\n"))
            while self._early and (self._ready or self.options.verbose):
                self._log(self._early.popleft())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.options.start_timeout
        while not self._answers("/v2/health/ready"):
            if self._process is None or self._process.poll() is not None:
                raise ServingError(f"tritonserver did not start: {self._filter.reason() or 'see --verbose'}")
            if time.monotonic() > deadline:
                raise ServingError(
                    f"tritonserver was not ready within {self.options.start_timeout} s: see --verbose"
                )
            time.sleep(POLL_SECONDS)
        self._ready = True
        if not all(self._answers(f"/v2/models/{name}/ready") for name in self.models):
            raise ServingError(f"a model did not load: {self._filter.reason() or 'see --verbose'}")

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection(self.options.host, self.options.http_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def wait(self) -> int:
        """Block until tritonserver ends by itself; its exit status."""
        if self._process is None:
            return 0
        return self._process.wait()

    def stop(self) -> None:
        """Drain requests in flight, then leave no process and no shared memory behind."""
        process, self._process = self._process, None
        if process is None:
            return
        ports = (self.options.http_port, self.options.metrics_port)
        processes.stop(process, self.options.exit_timeout + 10, lambda: close_idle(process.pid, ports))
        processes.remove_shared_memory(self._shm_prefix)


def find_interpreter(python: Path | None) -> Interpreter:
    """The given one, else the running one if it has Triton, else the repository's server environment."""
    running = describe()
    if python is None and running.pytriton:
        return running
    chosen = python or SERVER_PYTHON
    if not chosen.exists():
        raise ServingError(
            f"{chosen} does not exist: run `make serve`, which creates the server's environment"
        )
    try:
        return ask(chosen)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServingError(
            f"{chosen} does not run: {error}; remove its environment and run `make serve`"
        ) from None
