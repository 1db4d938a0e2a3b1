"""What /metrics shows, in Prometheus' format; one registry for each application."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from gateway.backlog import Backlog
from gateway.tasks.backlog import waiting
from gateway.tasks.store import Store

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The gateway's own figures; Triton's are at its own port."""

    def __init__(self, backlog: Backlog, store: Store) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        into = {"registry": self.registry}
        # Prometheus' look-up of labels takes longer than counting.
        self.requests = cache(
            Counter("gateway_requests", "Requests answered.", ["method", "route", "status"], **into).labels
        )
        self.latency = cache(
            Histogram(
                "gateway_request_seconds", "From the request's head to the last byte of its answer.",
                ["route"], buckets=SECONDS, **into,
            ).labels
        )  # fmt: skip
        self.texts = cache(Counter("gateway_texts", "Texts answered by the model.", ["model"], **into).labels)
        self.tokens = cache(Counter("gateway_tokens", "Tokens read by the model.", ["model"], **into).labels)
        self.refusals = cache(
            Counter("gateway_refusals", "Requests refused, by the kind of problem.", ["kind"], **into).labels
        )
        backlog_texts = Gauge("gateway_backlog_texts", "Texts on their way to the model server.", **into)
        backlog_texts.set_function(lambda: backlog.texts)
        backlog_seconds = Gauge("gateway_backlog_seconds", "Seconds that they will take.", **into)
        backlog_seconds.set_function(lambda: backlog.seconds)
        self._store = store
        self._tasks = Gauge("gateway_tasks_unfinished", "Background tasks that are not done.", **into)
        self._task_texts = Gauge("gateway_task_texts", "Their texts without an answer.", **into)
        self._task_seconds = Gauge("gateway_task_seconds", "Seconds that these will take.", **into)

    def text(self) -> bytes:
        """The exposition format. It reads the tasks' files, so call it outside the event loop."""
        tasks, texts, seconds = waiting(self._store)
        self._tasks.set(tasks)
        self._task_texts.set(texts)
        self._task_seconds.set(seconds)
        return generate_latest(self.registry)
