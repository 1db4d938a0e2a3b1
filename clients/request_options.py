"""What travels with a request beside its texts."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestOptions:
    """timeout: seconds after which nobody waits for the answer; the server may drop the request then.
    request_id: for the server's log and traces. background: gives way to other work that waits.
    traceparent: the W3C trace context that the server's spans belong to.
    """

    timeout: float
    request_id: str = ""
    background: bool = False
    traceparent: str = ""

    @property
    def microseconds(self) -> int:
        """The timeout as the KServe parameter of that name."""
        return round(self.timeout * 1e6)

    @property
    def parameters(self) -> dict[str, bool]:
        """Custom parameters of the KServe protocol; Triton's ensembles hand them to their models."""
        return {"background": True} if self.background else {}

    def headers(self, given: Mapping[str, str]) -> dict[str, str]:
        """A copy of these headers with the trace context."""
        return {**given, "traceparent": self.traceparent} if self.traceparent else dict(given)
