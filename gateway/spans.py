"""Which requests become spans, and where these go."""

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from gateway.settings import Settings


def provider(settings: Settings) -> TracerProvider:
    """Traces a request whose `traceparent` says so, and the share TRACE_SHARE of those without one."""
    made = TracerProvider(
        ParentBasedTraceIdRatio(settings.trace_share), Resource.create({"service.name": "gateway"})
    )
    made.add_span_processor(WithoutQuery())
    exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


class WithoutQuery(SpanProcessor):
    """Empties a span's query (what follows ? in an address): it may hold anything. No log has it either."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Called before anybody else sees the span."""
        if span.attributes and "url.query" in span.attributes:
            span.set_attribute("url.query", "")
