"""`python -m serving`: start Triton in the foreground, print how to call it, drain on Ctrl-C or SIGTERM."""

import enum
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, BadParameter, Option

from serving.errors import ServingError
from serving.gateway import GatewayChild
from serving.launcher import ENDPOINT, TritonServer
from serving.logs import as_json
from serving.pump import Sink, show
from serving.service import Service
from serving.worker import WorkerChild

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Terminal(Console):
    """A console whose reader may go away. Rich would then end the thread that prints, which drains a log."""

    def on_broken_pipe(self) -> None:
        """What is printed from now on goes nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


output = Terminal(highlight=False, soft_wrap=True)
errors = Terminal(stderr=True, highlight=False, soft_wrap=True)


class LogFormat(enum.StrEnum):
    """For people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


class ControlMode(enum.StrEnum):
    """Triton's model control modes."""

    NONE = "none"
    POLL = "poll"
    EXPLICIT = "explicit"


PORT = {"min": 0, "max": 65535}


def only_options(extra: list[str] | None) -> list[str] | None:
    """Refuse a stray word: `--gateway off`, say, would start the gateway and hand `off` to tritonserver."""
    if extra and not extra[0].startswith("-"):
        raise BadParameter(
            f"'{extra[0]}' is no option. Without the gateway: --no-gateway, or GATEWAY=off in front."
        )
    return extra


@app.command()
def serve(
    model_repository: Annotated[Path, Option(envvar="MODEL_REPOSITORY", help="Folder of the models.")] = Path(
        "model_repository"
    ),
    host: Annotated[
        str, Option(help="Address to listen on; 0.0.0.0 opens the server to the network.")
    ] = "127.0.0.1",
    http_port: Annotated[int, Option(envvar="HTTP_PORT", help="0 picks a free one.", **PORT)] = 8000,
    grpc_port: Annotated[int, Option(envvar="GRPC_PORT", help="0 picks a free one.", **PORT)] = 8001,
    metrics_port: Annotated[int, Option(envvar="METRICS_PORT", help="0 picks a free one.", **PORT)] = 8002,
    model_control_mode: Annotated[
        ControlMode,
        Option(help="poll follows changes of the repository; explicit opens the load and unload API."),
    ] = ControlMode.NONE,
    poll_seconds: Annotated[int, Option(min=1, help="Interval of --model-control-mode poll.")] = 2,
    load_model: Annotated[
        list[str] | None, Option(help="Serve only this model and what it needs; may be repeated.")
    ] = None,
    model_config_name: Annotated[
        str,
        Option(envvar="MODEL_CONFIG_NAME", help="Use configs/NAME.pbtxt where a model has it, such as gpu."),
    ] = "",
    exit_timeout: Annotated[int, Option(min=0, help="Seconds that draining may take.")] = 30,
    admin_key: Annotated[
        str,
        Option(envvar="ADMIN_KEY", help="Opens the shared-memory, load, trace and logging APIs."),
    ] = "",
    hang_timeout: Annotated[
        float,
        Option(min=0, help="Restart when a model gives no answer for so many seconds; 0 never."),
    ] = 10.0,
    gateway: Annotated[
        bool,
        Option(envvar="GATEWAY", help="Start the REST gateway beside Triton; GATEWAY=off leaves it out."),
    ] = True,
    gateway_port: Annotated[int, Option(envvar="GATEWAY_PORT", help="0 picks a free one.", **PORT)] = 8080,
    otlp_endpoint: Annotated[
        str,
        Option(
            envvar=ENDPOINT,
            metavar="URL",
            help="Collector for traces of requests that bring a traceparent, such as http://127.0.0.1:4318.",
        ),
    ] = "",
    log_format: Annotated[
        LogFormat, Option(envvar="LOG_FORMAT", help="json writes one object a line, of all processes.")
    ] = LogFormat.TEXT,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show Triton's whole log.")] = False,
    extra: Annotated[
        list[str] | None,
        Argument(help="After --, options for tritonserver itself.", callback=only_options),
    ] = None,
) -> None:
    """Serve a model repository on NVIDIA Triton until Ctrl-C."""
    os.environ["LOG_FORMAT"] = log_format.value  # for the gateway and its worker
    sink = partial(log, shape=as_json) if log_format is LogFormat.JSON else log
    server = TritonServer(
        model_repository,
        log=sink,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        model_control_mode=model_control_mode.value,
        poll_seconds=poll_seconds,
        load_models=tuple(load_model or ()),
        model_config_name=model_config_name,
        exit_timeout=exit_timeout,
        hang_timeout=hang_timeout,
        verbose=verbose,
        otlp_endpoint=otlp_endpoint,
        extra=tuple(extra or ()),
        **({"admin_key": admin_key} if admin_key else {}),
    )
    raise typer.Exit(run(server, gateway_port if gateway else None, sink))


def run(server: TritonServer, gateway_port: int | None, log: Sink) -> int:
    """Run the server in the foreground, then the gateway and its worker unless the port is None. What dies is
    restarted. Returns the exit status: 0 after a signal, 1 when one of them failed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    service: Service | None = None
    try:
        gateways = [] if gateway_port is None else [GatewayChild(server, gateway_port, log)]
        workers = [WorkerChild(server, log) for _ in gateways]
        service = Service([server, *gateways, *workers], log)
        started = time.monotonic()
        with errors.status("Starting Triton"):
            service.start()
        announce(server, [each.url for each in gateways], time.monotonic() - started)
        log(f"error: {service.wait()}")
        return 1
    except ServingError as error:
        log(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        log("Draining requests in flight; once more to stop at once")
        return 0
    finally:
        if service is not None:
            service.stop()


def log(line: str, shape: Callable[[str], str] = str) -> None:
    """Write a line to stderr. If it cannot be shown (a closed terminal), only the line is lost."""
    show(shape(line), lambda text: errors.print(text, markup=False))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def announce(server: TritonServer, gateways: Sequence[str], seconds: float) -> None:
    """Print the endpoints, and a command to copy."""
    output.print(f"Triton is ready after {seconds:.1f} s: {', '.join(server.models)}", markup=False)
    output.print(
        f"  HTTP     {server.http_url}\n  gRPC     {server.grpc_url}\n  metrics  {server.metrics_url}"
    )
    for url in gateways:
        output.print(f"  REST     {url}  (a page to try it, /docs, /v1/classify)")
    if server.skipped:
        output.print(f"Not exported yet, so not served: {', '.join(server.skipped)}")
    if "sentiment" in server.models:
        url = f"{server.http_url}/v2/models/sentiment/generate"
        output.print(
            f"""Try it:\n  curl -s {url} -d '{{"text": "A warm, funny and clever film."}}'""", markup=False
        )
    output.print("Ctrl-C stops it.")


if __name__ == "__main__":
    app()
