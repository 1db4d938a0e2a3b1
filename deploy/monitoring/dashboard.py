"""The Grafana dashboard, written as code: `python -m deploy.monitoring.dashboard` prints its JSON.

deploy/monitoring/grafana/dashboards/mobilebert.json is that output; a test holds them together.
"""

import json
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
RESPONSES = "haproxy_backend_http_responses_total"
BALANCER = '{proxy=~"triton_.*"}'


@dataclass(frozen=True)
class Panel:
    """A graph: each query in PromQL with the legend of its series. `unit` is Grafana's name of it."""

    title: str
    queries: dict[str, str]  # legend -> PromQL
    unit: str = "short"
    description: str = ""


ROWS: dict[str, list[Panel]] = {
    "What clients see": [
        Panel(
            "Requests a second, by status",
            {"{{proxy}} {{code}}": f"sum by (proxy, code) (rate({RESPONSES}{BALANCER}[1m])) > 0"},
            "reqps",
        ),
        Panel(
            "Latency at the balancer",
            {"{{proxy}}": f"max by (proxy) (haproxy_backend_total_time_average_seconds{BALANCER})"},
            "s",
            "HAProxy's mean over its last 1,024 requests.",
        ),
        Panel(
            "Latency at the gateway",
            {
                "p50": "histogram_quantile(0.5, sum by (le) (rate(gateway_request_seconds_bucket[1m])))",
                "p99": "histogram_quantile(0.99, sum by (le) (rate(gateway_request_seconds_bucket[1m])))",
            },
            "s",
        ),
        Panel(
            "Share of failed requests",
            {
                "5 minutes": "mobilebert:errors:ratio5m",
                "1 hour": "mobilebert:errors:ratio1h",
                "6 hours": "mobilebert:errors:ratio6h",
            },
            "percentunit",
            "The alerts on the error budget read these. The target is 0.1%.",
        ),
        Panel(
            "Texts a second at the gateway",
            {"{{model}}": "sum by (model) (rate(gateway_texts_total[1m]))"},
        ),
        Panel(
            "Retries and redispatches of the balancer",
            {
                "retries": f"sum(rate(haproxy_backend_retry_warnings_total{BALANCER}[1m]))",
                "to another server": f"sum(rate(haproxy_backend_redispatch_warnings_total{BALANCER}[1m]))",
            },
            "reqps",
        ),
    ],
    "The queue": [
        Panel("Waiting requests", {"{{instance}} {{model}}": "onnxruntime_queue_requests"}),
        Panel("Waiting tokens", {"{{instance}} {{model}}": "onnxruntime_queue_tokens"}),
        Panel(
            "Age of the oldest waiting request",
            {"{{instance}} {{model}}": "onnxruntime_queue_oldest_us / 1e6"},
            "s",
            "The servers refuse what would wait longer than max_queue_seconds (2 s).",
        ),
        Panel(
            "Refused, expired and cancelled",
            {
                "refused: {{reason}}": "sum by (reason) (rate(onnxruntime_refused[1m]))",
                "expired": "sum(rate(onnxruntime_expired[1m]))",
                "cancelled": "sum(rate(onnxruntime_cancelled[1m]))",
            },
            "reqps",
        ),
        Panel("Tokens a second, measured", {"{{instance}} {{model}}": "onnxruntime_queue_tokens_per_second"}),
        Panel(
            "Inferences a second",
            {"{{model}}": "sum by (model) (rate(nv_inference_count[1m]))"},
            "reqps",
        ),
    ],
    "The servers": [
        Panel(
            "Ready replicas",
            {"{{proxy}}": f"haproxy_backend_active_servers{BALANCER}"},
        ),
        Panel(
            "Busy cores",
            {"{{instance}} {{model}}": "rate(onnxruntime_run_core_us[1m]) / 1e6"},
            "short",
            "Time of ONNX Runtime's runs times their threads.",
        ),
        Panel(
            "Memory",
            {
                "{{job}} {{instance}}": "process_resident_memory_bytes",
                "host of {{instance}}": "nv_cpu_memory_used_bytes",
            },
            "bytes",
        ),
        Panel(
            "Background tasks: texts without an answer",
            {"texts": "max(gateway_task_texts)"},
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """Grafana's JSON model of the dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _place(0, y, 24, 1)}
        )
        y += 1
        for number, panel in enumerate(row):
            panels.append(
                _graph(panel, _place(number % COLUMNS * WIDTH, y + number // COLUMNS * HEIGHT, WIDTH, HEIGHT))
            )
        y += -(-len(row) // COLUMNS) * HEIGHT
    for number, each in enumerate(panels, start=1):
        each["id"] = number
    return {
        "uid": "mobilebert",
        "title": "MobileBERT on Triton",
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 39,
        "panels": panels,
    }


def _graph(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}},
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend, "datasource": SOURCE}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def render() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    print(render(), end="")
