"""OpenTelemetry: FastAPI makes a span of each request, and Triton is told to which span its work belongs."""

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.settings import Settings


def telemetry(settings: Settings) -> TelemetryConfig:
    """FastAPI's configuration: spans of requests where there is a collector, otherwise nothing."""
    if not settings.otlp_endpoint:
        return {"tracing": False, "metrics": False, "logs": False}
    from gateway.spans import provider  # 0.2 s that a gateway without traces does not need

    return {
        "tracer_provider": provider(settings),
        "metrics": False,
        "logs": False,
        "operation_spans": False,
    }


def traceparent() -> str:
    """The W3C context of the request at work. Empty where it is not traced: Triton traces what has one."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def request_span(request_id: str) -> Span:
    """The span of the request at work, with this id as an attribute."""
    span = trace.get_current_span()
    span.set_attribute("request_id", request_id)
    return span


def trace_id(span: Span | None = None) -> str | None:
    """Trace id of this span, or of the request at work: 32 hexadecimal digits, for the log."""
    context = (span or trace.get_current_span()).get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
