"""The metrics of a model's runs and queue, for the server's metrics page."""

import ctypes
from collections import Counter
from typing import Any

import triton_python_backend_utils as pb_utils

from serving.onnxruntime_backend.runner import Runner

COUNTER, GAUGE = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
FAMILIES = {
    "run_core_us": (COUNTER, "Time of ONNX Runtime's runs times the threads of each, in microseconds"),
    "queue_requests": (GAUGE, "Requests that wait"),
    "queue_tokens": (GAUGE, "Tokens that wait"),
    "queue_oldest_us": (GAUGE, "Time for which the oldest waiting request has waited, in microseconds"),
    "queue_tokens_per_second": (GAUGE, "Measured speed of the model, by which the queue is bounded"),
    "refused": (COUNTER, "Requests that were not accepted, by reason: time, requests, bytes, stopping"),
    "expired": (COUNTER, "Accepted requests whose deadline passed"),
    "cancelled": (COUNTER, "Accepted requests whose client went away"),
}
REASONS = ("time", "requests", "bytes", "stopping")


class Metrics:
    """Of one model. Raises TritonModelException on a server without metrics."""

    def __init__(self, runner: Runner, labels: dict[str, str]) -> None:
        self._runner = runner
        families = {
            name: pb_utils.MetricFamily(name=f"onnxruntime_{name}", description=description, kind=kind)
            for name, (kind, description) in FAMILIES.items()
        }
        for family in families.values():
            _never_delete(family)
        self._metrics: dict[str, Any] = {
            name: family.Metric(labels=labels) for name, family in families.items() if name != "refused"
        }
        self._refused = {
            reason: families["refused"].Metric(labels=labels | {"reason": reason}) for reason in REASONS
        }
        self._told: Counter[str] = Counter()

    def update(self) -> None:
        """Tell Triton what has changed; each change is a message to another process."""
        waiting, totals, rate = self._runner.snapshot()
        self._metrics["run_core_us"].increment(1e6 * self._runner.utilization.take_core_seconds())
        self._metrics["queue_requests"].set(waiting.requests)
        self._metrics["queue_tokens"].set(waiting.tokens)
        self._metrics["queue_oldest_us"].set(1e6 * waiting.oldest)
        self._metrics["queue_tokens_per_second"].set(rate)
        self._add(self._metrics["expired"], "expired", totals.expired)
        self._add(self._metrics["cancelled"], "cancelled", totals.cancelled)
        for reason, count in totals.refused.items():
            self._add(self._refused[reason], reason, count)

    def end(self) -> None:
        """Update a last time. Totals stay; the gauges become 0, as nothing waits any more."""
        self.update()
        for name, (kind, _) in FAMILIES.items():
            if kind == GAUGE:
                self._metrics[name].set(0)

    def _add(self, metric: Any, name: str, total: int) -> None:
        if total > self._told[name]:
            metric.increment(total - self._told[name])
            self._told[name] = total


def _never_delete(family: Any) -> None:
    """Keep a family, and its metrics, beyond the end of this process's Python.

    Families of one name are one object in tritonserver 2.51: when a process deletes its own, those of the
    other instances, models and versions point to freed memory, and the server crashes or hangs at its end.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(family))
