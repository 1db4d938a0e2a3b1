"""One trace from a caller through gateway, ensemble and models, as a collector receives it.

Over gRPC, Triton (2.73 and before) reads a `traceparent` past its end. Where the next byte of memory is not
0, it refuses the context and traces nothing. That happens to about 2 requests of 100. The place is
`GrpcServerCarrier::Get` in its `grpc/infer_handler.h`; opentelemetry-cpp mended the same lines by pull
request 3304. So a test over gRPC sends five requests, and three must be traced whole. Over HTTP each must.
The gateway speaks gRPC to Triton.
"""

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from clients import SentimentClient
from serving.launcher import TritonServer
from tests.deploy.otlp import Received, Span, receiver
from tests.gateway.page.browser import chromium
from tests.gateway.running import Gateway, gateway_process
from tests.waiting import until

SECRET = "unmistakable words of a customer"
CALLER = "b7ad6b7169203331"  # the caller's own span
# Requests that are sent, and how many of them must be traced.
SENT = {"http": (1, 1), "grpc": (5, 3)}
# Triton's spans of a model that our backend runs: `compute` is the way into the queue.
MODEL = {"mobilebert_tokenizer": ["compute"], "mobilebert_fp32": ["compute", "queue", "run"]}


@pytest.fixture(scope="module")
def collector() -> Iterator[Received]:
    with receiver() as received:
        yield received


@pytest.fixture(scope="module")
def traced(published_repository: Path, collector: Received) -> Iterator[TritonServer]:
    settings = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "otlp_endpoint": collector.url}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        soon = ("--trace-config=opentelemetry,bsp_schedule_delay=100",)
        with TritonServer(published_repository, **settings, extra=soon) as live:
            yield live


@pytest.fixture(scope="module")
def gateway(traced: TritonServer, collector: Received, tmp_path_factory) -> Iterator[Gateway]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    data = str(tmp_path_factory.mktemp("gateway"))
    with gateway_process(traced.grpc_url, GATEWAY_DATA=data, **settings) as running:
        yield running


def context(sampled: bool = True) -> tuple[str, str]:
    """A trace id, and the `traceparent` that a caller of this trace sends."""
    trace = secrets.token_hex(16)
    return trace, f"00-{trace}-{CALLER}-0{int(sampled)}"


def the_one(collector: Received, trace: str, name: str) -> Span:
    (span,) = [span for span in collector.of(trace) if span.name == name]
    return span


def wait_for(collector: Received, trace: str, count: int) -> None:
    wait_for_most(collector, [trace], count, 1)


def wait_for_most(collector: Received, traces: Sequence[str], count: int, least: int) -> list[str]:
    """Those of the traces that have so many spans, once they are `least`."""

    def whole() -> list[str]:
        return [trace for trace in traces if len(collector.of(trace)) >= count]

    until(lambda: len(whole()) >= least)
    found = whole()
    for trace in found:
        assert len(collector.of(trace)) == count, names(collector, trace)
    return found


def names(collector: Received, trace: str) -> list[str]:
    return [span.name for span in collector.of(trace)]


def check_tree_of_triton(collector: Received, request: Span) -> None:
    """Below Triton's root: ensemble, its models in their order, and what these do."""
    (ensemble,) = collector.children(request)
    assert ensemble.name == "sentiment"
    models = collector.children(ensemble)
    assert [model.name for model in models] == list(MODEL)
    for model in models:
        assert sorted(span.name for span in collector.children(model)) == MODEL[model.name]
    queue, run = (the_one(collector, request.trace, name) for name in ("queue", "run"))
    assert models[1].began <= queue.began <= queue.ended <= run.began < run.ended <= request.ended
    assert ensemble.began <= models[0].began < models[1].began


def test_a_request_to_the_gateway_is_one_trace_down_to_the_run(collector: Received, gateway: Gateway) -> None:
    sent, least = SENT["grpc"]
    ids = {}
    for number in range(sent):
        trace, traceparent = context()
        ids[trace] = f"mine-{number}"
        headers = {"traceparent": traceparent, "X-Request-ID": ids[trace]}
        body = {"text": SECRET}
        answer = gateway.client.post(f"/v1/classify?note={SECRET}", json=body, headers=headers)
        assert answer.status_code == 200
    for trace in wait_for_most(collector, list(ids), 9, least):
        root = the_one(collector, trace, "POST /v1/classify")
        assert (root.service, root.parent) == ("gateway", CALLER)
        (request,) = collector.children(root)
        assert (request.service, request.name) == ("triton", "InferRequest")
        # Triton ends its own span when gRPC reports the answer as written, maybe after it is read.
        run = the_one(collector, trace, "run")
        assert root.began <= request.began < run.began < run.ended <= root.ended
        check_tree_of_triton(collector, request)
    until(lambda: all(any(each.encode() in body for body in collector.bodies) for each in ids.values()))
    for trace, request_id in ids.items():
        entry = gateway.logged(request_id)
        assert (entry["request_id"], entry["trace_id"]) == (request_id, trace)


def test_traced_requests_at_the_same_time_are_a_trace_each(collector: Received, gateway: Gateway) -> None:
    sent = 24

    def ask(traceparent: str) -> int:
        headers = {"traceparent": traceparent}
        return gateway.client.post("/v1/classify", json=SECRET, headers=headers).status_code

    contexts = [context() for _ in range(sent)]
    with ThreadPoolExecutor(sent) as pool:
        assert set(pool.map(ask, [traceparent for _, traceparent in contexts])) == {200}
    for trace in wait_for_most(collector, [trace for trace, _ in contexts], 9, sent * 3 // 5):
        (request,) = collector.children(the_one(collector, trace, "POST /v1/classify"))
        check_tree_of_triton(collector, request)


def test_the_page_asks_for_a_trace_where_its_address_says_so(collector: Received, gateway: Gateway) -> None:
    before = len(collector.spans)
    sent, least = SENT["grpc"]

    def roots() -> list[Span]:
        return [span for span in collector.spans[before:] if span.name == "POST /v1/classify"]

    with chromium() as browser:
        browser.get(f"{gateway.url}/?trace")
        until(lambda: "Ready" in browser.find_element(By.ID, "status").text)
        field = browser.find_element(By.ID, "text")
        for number in range(sent):
            field.send_keys(" A delight.")
            field.send_keys(Keys.CONTROL, Keys.ENTER)
            until(lambda wanted=number + 1: len(roots()) == wanted)
    assert all(root.parent for root in roots())
    for trace in wait_for_most(collector, [root.trace for root in roots()], 9, least):
        check_tree_of_triton(collector, *collector.children(the_one(collector, trace, "POST /v1/classify")))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_request_of_the_sdk_is_one_trace(collector: Received, traced: TritonServer, protocol: str) -> None:
    sent, least = SENT[protocol]
    contexts = [context() for _ in range(sent)]
    url = traced.http_url if protocol == "http" else traced.grpc_url
    with SentimentClient(url, protocol) as client:
        for _, traceparent in contexts:
            client.classify_one(SECRET, traceparent)
        for trace in wait_for_most(collector, [trace for trace, _ in contexts], 8, least):
            request = the_one(collector, trace, "InferRequest")
            assert request.parent == CALLER
            check_tree_of_triton(collector, request)


def test_each_run_of_a_list_is_a_span_and_its_wait_is_one(collector: Received, traced: TritonServer) -> None:
    trace, traceparent = context()
    with SentimentClient(traced.http_url) as client:
        client.classify(["word " * 300] * 4, traceparent)
    until(lambda: len([span for span in collector.of(trace) if span.name == "run"]) == 4)
    assert the_one(collector, trace, "queue")


def test_what_nobody_asked_to_trace_is_not_traced(
    collector: Received, traced: TritonServer, gateway: Gateway
) -> None:
    before, (_, unsampled) = {span.trace for span in collector.spans}, context(sampled=False)
    url = f"{traced.http_url}/v2/models/sentiment/generate"
    assert requests.post(url, json={"text": SECRET}, timeout=30).ok
    assert gateway.client.post("/v1/classify", json={"text": SECRET}).status_code == 200
    headers = {"traceparent": unsampled}
    assert gateway.client.post("/v1/classify", json={"text": SECRET}, headers=headers).status_code == 200
    marker, traceparent = context()
    with SentimentClient(traced.http_url) as client:
        client.classify_one("The last one.", traceparent)
    wait_for(collector, marker, 8)
    assert {span.trace for span in collector.spans} - before == {marker}


def test_no_span_holds_a_text(collector: Received, gateway: Gateway) -> None:
    assert len(collector.bodies) > 3
    word = SECRET.split()[0]
    assert not any(word.encode() in body for body in collector.bodies)
    assert not any(word in line for line in list(gateway.lines))


def test_a_share_of_requests_is_traced_from_the_gateway_on(
    collector: Received, traced: TritonServer, tmp_path: Path
) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "TRACE_SHARE": "1",
    }
    sent, least = SENT["grpc"]
    with gateway_process(traced.grpc_url, GATEWAY_DATA=str(tmp_path), **settings) as running:
        traces = []
        for number in range(sent):
            headers = {"X-Request-ID": f"share-{number}"}
            answer = running.client.post("/v1/classify", json={"text": SECRET}, headers=headers)
            assert answer.status_code == 200
            traces.append(running.logged(f'"share-{number}"')["trace_id"])
        whole = wait_for_most(collector, traces, 9, least)
        until(lambda: all(names(collector, trace).count("POST /v1/classify") for trace in traces))
    for trace in traces:
        assert the_one(collector, trace, "POST /v1/classify").parent == ""
    for trace in whole:
        check_tree_of_triton(collector, *collector.children(the_one(collector, trace, "POST /v1/classify")))
