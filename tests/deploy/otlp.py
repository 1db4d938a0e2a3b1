"""A small OTLP/HTTP receiver: what a collector would get."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """Ids in hexadecimal, times in nanoseconds; `parent` is empty at the root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int


@dataclass
class Received:
    """`bodies`: as they came."""

    url: str
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def of(self, trace: str) -> list[Span]:
        """The spans of this trace so far."""
        return [span for span in self.spans if span.trace == trace]

    def children(self, parent: Span) -> list[Span]:
        """In the order of their beginning."""
        found = [span for span in self.spans if (span.trace, span.parent) == (parent.trace, parent.id)]
        return sorted(found, key=lambda span: span.began)


@contextmanager
def receiver() -> Iterator[Received]:
    """Listens on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            read = from_json if "json" in self.headers["Content-Type"] else from_protobuf
            received.bodies.append(body)
            received.spans.extend(read(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()


def from_protobuf(body: bytes) -> Iterator[Span]:
    """The SDK for Python sends this."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(
            each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
        )
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
            yield Span(service, span.name, *ids, span.start_time_unix_nano, span.end_time_unix_nano)


def from_json(body: bytes) -> Iterator[Span]:
    """Triton sends this, its ids in hexadecimal."""
    for resource in json.loads(body)["resourceSpans"]:
        attributes = resource["resource"]["attributes"]
        service = next(each["value"]["stringValue"] for each in attributes if each["key"] == "service.name")
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            ids = (span["traceId"], span["spanId"], span.get("parentSpanId", ""))
            yield Span(
                service, span["name"], *ids, int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            )
