"""Every setting of the gateway, in one object; the environment fills it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from clients.endpoint import parse_endpoint
from gateway.errors import GatewayError

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(value: object) -> object:
    """Bytes of `64M`, `1G` or `1048576`; anything else is returned as it is, for pydantic to refuse."""
    match = re.fullmatch(r"(\d+)([KMG]?)", str(value).strip().upper())
    return int(match[1]) * UNITS[match[2]] if match else value


def _names(value: object) -> object:
    return (
        tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
    )


def _not_any(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        raise ValueError("name the origins; * would let every web page of a visitor use this service")
    return origins


def _over_grpc(url: str) -> str:
    parse_endpoint(url, "grpc")
    return url


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
GrpcUrl = Annotated[str, AfterValidator(_over_grpc)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """Settings by the name of their environment variable. Times in seconds, sizes in bytes.

    GATEWAY_HOST, GATEWAY_PORT: where it listens; port 0 picks a free one.
    TRITON_URL: Triton's gRPC address.
    MODELS: the ensembles that it offers; the first one is the default.
    GATEWAY_DATA: folder of what outlives a request (uploads and results of tasks).
    BROKER_URL: of Celery, such as amqp://... or redis://...; empty is the embedded one.
    API_KEYS_FILE: file of hashed keys; without it everybody is let in. RATE_LIMIT: texts a minute for each
        caller, 0 is no limit.
    CORS_ORIGINS: origins whose pages may call, by commas; none by default.
    MAX_BODY: of a request that is no upload; MAX_UPLOAD: of one that is. MAX_TEXTS: in one request.
    MAX_IN_FLIGHT: requests at work at the same time; further ones are refused.
    REQUEST_TIMEOUT: how long a request may take; its own `timeout` can only be shorter.
    DRAIN_TIMEOUT: for requests in flight, when the gateway is told to stop.
    TASK_MAX_TEXTS: in one background task. TASK_BACKLOG_TEXTS, TASK_BACKLOG_TASKS: unfinished ones, beyond
        which uploads are refused. TASK_KEEP: results are kept for so long. TASK_CHUNK: texts that are scored
        and stored together. TASK_LANES: chunks of one task at work at the same time. TASK_CONCURRENCY: chunks
        that one worker scores at the same time. TASK_RATE: texts a second of one worker and model, 0 is no
        limit (Triton's backend gives background work what others leave). TASK_STALL: after so long without
        work, a task is sent again.
    WORKER_HEALTH_FILE: a worker touches it every few seconds, for health checks.
    ACCESS_LOG: a file, "-" for standard output, or "off". LOG_FORMAT: of warnings and errors, text or json.
    OTEL_EXPORTER_OTLP_ENDPOINT: base URL of a collector (OTLP over HTTP); empty is no tracing. TRACE_SHARE:
        the part, 0 to 1, of the requests without a `traceparent` that is traced.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    host: str = Field("127.0.0.1", alias="GATEWAY_HOST")
    port: int = Field(8080, alias="GATEWAY_PORT", ge=0, le=65535)
    triton_url: GrpcUrl = Field("127.0.0.1:8001", alias="TRITON_URL", min_length=1)
    models: Names = Field(("sentiment", "sentiment_fast"), alias="MODELS", min_length=1)
    data_folder: Path = Field(Path(".cache/gateway"), alias="GATEWAY_DATA")
    broker_url: str = Field("", alias="BROKER_URL")
    api_keys_file: Path | None = Field(None, alias="API_KEYS_FILE")
    rate_limit: int = Field(0, alias="RATE_LIMIT", ge=0)
    cors_origins: Annotated[Names, AfterValidator(_not_any)] = Field((), alias="CORS_ORIGINS")
    max_body: Size = Field(16 << 20, alias="MAX_BODY")
    max_upload: Size = Field(2 << 30, alias="MAX_UPLOAD")
    max_texts: int = Field(1000, alias="MAX_TEXTS", gt=0)
    max_in_flight: int = Field(256, alias="MAX_IN_FLIGHT", gt=0)
    request_timeout: float = Field(60.0, alias="REQUEST_TIMEOUT", gt=0)
    drain_timeout: int = Field(30, alias="DRAIN_TIMEOUT", ge=0)
    task_max_texts: int = Field(1_000_000, alias="TASK_MAX_TEXTS", gt=0)
    task_backlog_texts: int = Field(5_000_000, alias="TASK_BACKLOG_TEXTS", gt=0)
    task_backlog_tasks: int = Field(1000, alias="TASK_BACKLOG_TASKS", gt=0)
    task_keep: float = Field(7 * 86_400.0, alias="TASK_KEEP", gt=0)
    task_chunk: int = Field(256, alias="TASK_CHUNK", gt=0)
    task_lanes: int = Field(4, alias="TASK_LANES", gt=0)
    task_concurrency: int = Field(2, alias="TASK_CONCURRENCY", gt=0)
    task_rate: float = Field(0.0, alias="TASK_RATE", ge=0)
    task_stall: float = Field(30.0, alias="TASK_STALL", gt=0)
    worker_health_file: Path | None = Field(None, alias="WORKER_HEALTH_FILE")
    access_log: str = Field("-", alias="ACCESS_LOG")
    log_format: Literal["text", "json"] = Field("text", alias="LOG_FORMAT")
    otlp_endpoint: str = Field("", alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_share: float = Field(0.0, alias="TRACE_SHARE", ge=0, le=1)

    @property
    def task_folder(self) -> Path:
        """The store of background tasks; gateways and workers share it."""
        return self.data_folder / "tasks"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Reads the variables that are set and not empty. Raises GatewayError, which names the variable."""
        given = os.environ if environment is None else environment
        named = {field.alias: given.get(str(field.alias), "") for field in cls.model_fields.values()}
        return cls.checked({name: value for name, value in named.items() if value})

    @classmethod
    def checked(cls, values: Mapping[Any, Any]) -> Self:
        """Like the constructor, but raises GatewayError: one line that names the first wrong setting."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise GatewayError(f"{first['loc'][0]}={first['input']!r}: {first['msg']}") from None
