"""OpenTelemetry spans of a request that Triton traces: its wait in our queue, and each run of its rows.

Triton's own `compute` span of such a model covers only the way into the queue. No span holds text: the model
gets none.
"""

import json
import time
from collections.abc import Sequence

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from serving.onnxruntime_backend.tickets import Ran


class Tracing:
    """Sends spans to OTEL_EXPORTER_OTLP_ENDPOINT in a thread of its own."""

    def __init__(self, service: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("onnxruntime")

    def follow(self, context: str | None) -> Ran | None:
        """Records the runs of a request with this context, as Triton gives it (JSON); None without one."""
        return Trace(self._tracer, propagate.extract(json.loads(context))).ran if context else None

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class Trace:
    """Of one request. Times are those of `time.monotonic`."""

    def __init__(self, tracer: Tracer, context: Context) -> None:
        self._tracer, self._context, self._waits = tracer, context, True
        # Read once: two readings differ a little, and a run could begin before the wait for it ends.
        self._epoch = time.time_ns() - time.monotonic_ns()

    def ran(self, arrived: float, began: float, rows: int, tokens: Sequence[int]) -> None:
        """Record a run that `began` then and ends now; before the first run, also the wait for it.

        `rows`: how many were in the run, of all requests. `tokens`: of each row of this request.
        """
        if self._waits:
            self._waits = False
            self._span("queue", arrived, began, {})
        run = {"rows": rows, "rows.own": len(tokens), "tokens.own": sum(tokens)}
        self._span("run", began, time.monotonic(), run)

    def _span(self, name: str, began: float, ended: float, attributes: dict[str, int]) -> None:
        start, end = (self._epoch + int(1e9 * moment) for moment in (began, ended))
        self._tracer.start_span(name, self._context, attributes=attributes, start_time=start).end(end)
