"""How a server is started: one settings object, and the tritonserver command line that it stands for."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from serving.addresses import for_evhtp, in_url
from serving.devices import WITHOUT_GPU, has_gpu
from serving.runtime import Runtime

# Closed to callers without the admin key. Shared memory: 24.10 has security holes that later releases closed.
# Loading models: a request may bring the files of a Python model, which is any code. Trace and logging: a
# client may change what the server writes to its disk.
RESTRICTED = ("shared-memory", "model-repository", "trace", "logging")


@dataclass(frozen=True)
class ServerOptions:
    """Ports: 0 picks a free one. Times in seconds, sizes in bytes.

    `load_models`: empty means every model that has its artefacts. `tolerate_failures`: the server stays up
    when a model cannot be loaded. `complete_configs`: no model leaves a part of its configuration to Triton.
    `hang_timeout`: a model that gives no answer for so long may hang (see `watchdog`), where the server is
    watched; 0 never. `admin_key` opens the restricted APIs to requests that carry it in the header
    `admin-key`; by default it is random, so they stay closed.
    `otlp_endpoint`: base URL of an OpenTelemetry collector (OTLP over HTTP), which gets the spans of requests
    that bring a `traceparent`; empty is no tracing.
    """

    model_repository: Path
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    model_control_mode: str = "none"
    poll_seconds: int = 2
    load_models: tuple[str, ...] = ()
    tolerate_failures: bool = False
    complete_configs: bool = False
    model_config_name: str = ""
    exit_timeout: int = 30
    start_timeout: int = 300
    hang_timeout: float = 10.0
    verbose: bool = False
    otlp_endpoint: str = ""
    admin_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    python: Path | None = None
    extra: tuple[str, ...] = ()


def arguments(options: ServerOptions, runtime: Runtime, shm_prefix: str) -> list[str]:
    """tritonserver's arguments, without the binary."""
    restricted = f"{','.join(RESTRICTED)}:admin-key={options.admin_key}"
    return [
        f"--model-repository={options.model_repository.resolve()}",
        f"--backend-directory={runtime.backends}",
        f"--http-address={for_evhtp(options.host)}",
        f"--http-port={options.http_port}",
        f"--grpc-address={in_url(options.host)}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-address={for_evhtp(options.host)}",
        f"--metrics-port={options.metrics_port}",
        f"--exit-timeout-secs={options.exit_timeout}",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=onnxruntime,shm-region-prefix-name={shm_prefix}",
        *_model_arguments(options),
        *_trace_arguments(options.otlp_endpoint),
        *(() if has_gpu() else WITHOUT_GPU),
        *options.extra,
    ]


def _model_arguments(options: ServerOptions) -> list[str]:
    mode = "explicit" if options.load_models else options.model_control_mode
    given = [f"--model-control-mode={mode}", *(f"--load-model={name}" for name in options.load_models)]
    if options.complete_configs:
        given.append("--disable-auto-complete-config")
    if options.tolerate_failures:
        given.append("--exit-on-error=false")
    if options.tolerate_failures or options.model_control_mode != "none":
        # With strict readiness, a server is not ready while a new version loads or is broken, although the
        # old one serves. A load balancer would take it out of service.
        given.append("--strict-readiness=false")
    if mode == "poll":
        given.append(f"--repository-poll-secs={options.poll_seconds}")
    if options.model_config_name:
        given.append(f"--model-config-name={options.model_config_name}")
    return given


def _trace_arguments(endpoint: str) -> list[str]:
    """Rate 0 traces only requests that bring a trace context: the caller, or the gateway, decides."""
    if not endpoint:
        return []
    settings = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=0",
        f"opentelemetry,url={endpoint.rstrip('/')}/v1/traces",
        "opentelemetry,resource=service.name=triton",
    )
    return [f"--trace-config={setting}" for setting in settings]
