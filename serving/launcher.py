"""Runs tritonserver as a child process: checks, start, readiness, failures, drain.

with TritonServer("model_repository", http_port=0, grpc_port=0, metrics_port=0) as server:
    requests.post(f"{server.http_url}/v2/models/sentiment/generate", json={"text": "A delight."})

When tritonserver dies, a :class:`serving.supervision.Supervisor` restarts it, and not this class.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from serving import checks, processes
from serving.addresses import with_port
from serving.command_child import ending, wait_for_end
from serving.connections import close_idle
from serving.devices import has_gpu
from serving.errors import ServingError
from serving.interpreter import Interpreter
from serving.logs import LogFilter
from serving.options import ServerOptions, arguments
from serving.pump import HeldLines, pump
from serving.repository import are_complete, find_models
from serving.runtime import assemble, find_interpreter
from serving.stubs import Stub, Watch
from serving.watchdog import Watchdog

POLL_SECONDS = 0.05
LOOK_TIMEOUT = 5.0
BUSY_FLAGS = "BUSY_FLAGS"  # our backend and the tokenizer read it
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"  # OpenTelemetry's own variable; our backend and the gateway read it
PORTS = {"HTTP_PORT": "http_port", "GRPC_PORT": "grpc_port", "METRICS_PORT": "metrics_port"}


class TritonServer:
    """A live server between `__enter__` and `__exit__`; keyword arguments are those of ServerOptions."""

    name = "tritonserver"

    def __init__(
        self, model_repository: str | Path, *, log: Callable[[str], None] | None = None, **settings: Any
    ) -> None:
        self.options = self._asked = ServerOptions(Path(model_repository), **settings)
        self.models: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self._log = log or (lambda line: print(line, file=sys.stderr))
        self._filter = LogFilter(self.options.verbose, has_gpu())
        self._process: subprocess.Popen[str] | None = None
        self._python: Interpreter | None = None
        self._watch: Watch | None = None
        self._watchdog: Watchdog | None = None
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
        return f"http://{with_port(self.options.host, self.options.http_port)}"

    @property
    def grpc_url(self) -> str:
        """Such as `127.0.0.1:8001`, without a scheme, as gRPC clients take it."""
        return with_port(self.options.host, self.options.grpc_port)

    @property
    def metrics_url(self) -> str:
        """Such as `http://127.0.0.1:8002/metrics`."""
        return f"http://{with_port(self.options.host, self.options.metrics_port)}/metrics"

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

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Check, launch and wait until every model is ready. Raises ServingError.

        It may be called again after the server has ended, and then takes the same ports.
        """
        self._python = self._python or find_interpreter(self.options.python)
        self._filter = LogFilter(self.options.verbose, has_gpu())
        self._prepare(self._python)
        runtime = assemble(self._python)
        # The port alone is not enough: a server on another address may have the same port.
        self._shm_prefix = f"mobilebert_{self.options.http_port}_{processes.own_mark()}_"
        command = [str(runtime.binary), *arguments(self.options, runtime, self._shm_prefix)]
        environment = runtime.environment | {
            ENDPOINT: self.options.otlp_endpoint,
            BUSY_FLAGS: f"{processes.SHARED_MEMORY}/{self._shm_prefix}busy_",
        }
        self._process = processes.spawn(command, environment, runtime.backends)
        self._watch = Watch(self._process.pid, self._serves)
        held = HeldLines(self._log)
        assert self._process.stdout is not None
        pump(self._process.stdout, partial(self._take, held, self._filter))
        if self.options.verbose:
            held.open()
        try:
            self._wait_until_ready(cancelled)
        except BaseException:
            self.stop()
            raise
        held.open()

    @staticmethod
    def _take(held: HeldLines, log_filter: LogFilter, line: str) -> None:
        if log_filter.shows(line):
            held(line)

    def _prepare(self, python: Interpreter) -> None:
        checks.check_interpreter(python)
        checks.check_repository(self.options.model_repository)
        checks.check_ports(
            self.options.host, {name: getattr(self.options, key) for name, key in PORTS.items()}
        )
        chosen = iter(checks.free_ports(self.options.host, len(PORTS)))
        ports: dict[str, Any] = {key: getattr(self.options, key) or next(chosen) for key in PORTS.values()}
        self.options = replace(self._asked, **ports)
        self._choose_models()
        # Auto-completion takes half of the start's time. A restart skips it if it has nothing to do and no
        # model can come later. The first start does not skip it: one of 50 without it ended in SIGABRT, and
        # nothing repeats a first start. After a restart that failed, the process is None as well.
        if self._process is not None and self.options.model_control_mode == "none":
            whole = are_complete(self.options.model_repository, self.options.model_config_name)
            self.options = replace(self.options, complete_configs=whole)

    def _choose_models(self) -> None:
        """Triton exits when a model lacks its artefacts.

        So Triton gets the names of the models that have them. Where it polls the repository, it is told to
        tolerate the others.
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

    def _wait_until_ready(self, cancelled: Callable[[], bool]) -> None:
        assert self._process is not None
        assert self._watch is not None
        deadline = time.monotonic() + self.options.start_timeout
        while not self._answers("/v2/health/ready"):
            # Triton would wait a minute for a stopped process. Looking also learns the processes' names, in
            # case one dies at the moment of readiness.
            if ailment := self._watch.ailment():
                raise ServingError(f"tritonserver {ailment}")
            if self._process.poll() is not None:
                reason = self._filter.reason() or f"it {ending(self._process)}, see --verbose"
                raise ServingError(f"tritonserver did not start: {reason}")
            if cancelled():
                raise ServingError("tritonserver was stopped before it was ready")
            if time.monotonic() > deadline:
                raise ServingError(
                    f"tritonserver was not ready within {self.options.start_timeout} s: see --verbose"
                )
            time.sleep(POLL_SECONDS)
        self._watch.meet()
        if not all(self._answers(f"/v2/models/{name}/ready") for name in self.models):
            raise ServingError(f"a model did not load: {self._filter.reason() or 'see --verbose'}")

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection(
            with_port(self.options.host, self.options.http_port), timeout=LOOK_TIMEOUT
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ailment(self) -> str:
        """Why the server has to be restarted: it ended, or one of its model processes died or hangs.

        Empty while the server is well. Triton 2.51 restarts no model process, and says it is ready without.
        """
        if self._process is None or self._watch is None:
            return ""
        if self._process.poll() is not None:
            return ending(self._process)
        if self.options.hang_timeout and self._watchdog is None:
            stubs = self._watch.stubs_now
            self._watchdog = Watchdog(self.grpc_url, self.options.hang_timeout, stubs, self._log)
            self._watchdog.start()
        return self._watch.ailment() or (self._watchdog.verdict if self._watchdog else "")

    def _serves(self, stub: Stub) -> bool:
        return self._answers(f"/v2/models/{stub.model}/versions/{stub.version}/ready")

    def rest(self, seconds: float) -> None:
        """Wait so many seconds, or until one of the server's processes ends."""
        wait_for_end(self._watch.living if self._watch else [self.pid], seconds)

    def wait(self) -> int:
        """Block until tritonserver ends by itself; its exit status."""
        if self._process is None:
            return 0
        return self._process.wait()

    def stop(self) -> None:
        """Drain requests in flight, then leave no process and no shared memory behind."""
        if (process := self._process) is None:
            return
        self._end_watch()
        ports = (self.options.http_port, self.options.metrics_port)
        processes.stop(process, self.options.exit_timeout + 10, lambda: close_idle(process.pid, ports))
        processes.remove_shared_memory(self._shm_prefix)
        self._process = None

    def kill(self) -> None:
        """End every process of the server at once. Its port then refuses, so nobody takes it for ready."""
        if (process := self._process) is not None:
            self._end_watch()
            processes.kill_group(process)
            processes.remove_shared_memory(self._shm_prefix)

    def _end_watch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
        self._watch = self._watchdog = None
