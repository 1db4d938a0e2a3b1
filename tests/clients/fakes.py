"""Servers that speak Triton's protocols on real sockets and fail on demand; the label they give is the text.

Only for what a healthy Triton does not do: the other tests of this folder talk to the real one.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from aiohttp import web
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

MAX_BATCH_SIZE = 4
OVERLOAD = "the server is busy: about 2.4 s of work wait, the limit is 2.0 s; try again in 0.4 s"
FAR = OVERLOAD.replace("0.4 s", "3 s")
NOT_WELCOME = "in ensemble 'sentiment', text {} is not welcome"
OUTPUTS = {
    "label": "BYTES",
    "score": "FP32",
    "probabilities": "FP32",
    "num_tokens": "INT32",
    "truncated": "BOOL",
    "num_windows": "INT32",
}


class FakeTriton:
    """What the server saw, and what it shall do next.

    faults: one for each request to come: "busy", "queue" (a full queue as an ensemble reports it),
    "overload" (our backend's refusal: come back in 0.4 s), "far" (in 3 s), "reset", "internal", or
    seconds to sleep. texts: the texts of every request that was answered. tokens: the Authorization
    header of every request. peers: the connection of every request. parameters: the KServe parameters of
    every request. peak: the most requests at the same time. down: every request is cut off meanwhile.
    """

    def __init__(self) -> None:
        self.faults: deque[str | float | None] = deque()
        self.texts: list[list[str]] = []
        self.tokens: list[str | None] = []
        self.peers: list[str] = []
        self.parameters: list[dict[str, object]] = []
        self.retry_after: str | None = None
        self.down = False
        self.calls = 0
        self.peak = 0
        self.delay = 0.0
        self.refuses: Callable[[str], bool] = lambda text: False
        self.url = ""
        self._current = 0
        self._lock = threading.Lock()

    @contextmanager
    def request(self) -> Iterator[str | float | None]:
        with self._lock:
            self.calls += 1
            self._current += 1
            self.peak = max(self.peak, self._current)
            fault = self.faults.popleft() if self.faults else ("reset" if self.down else None)
        try:
            yield fault
        finally:
            with self._lock:
                self._current -= 1

    def refused_row(self, texts: list[str]) -> int | None:
        return next((row for row, text in enumerate(texts) if self.refuses(text)), None)

    def config(self) -> dict[str, object]:
        return {
            "name": "sentiment",
            "max_batch_size": MAX_BATCH_SIZE,
            "input": [{"name": "text", "data_type": "TYPE_STRING", "dims": [1]}],
            "output": [{"name": name, "data_type": "TYPE_INT32", "dims": [1]} for name in OUTPUTS],
        }


def read_strings(raw: bytes) -> list[str]:
    """Triton's BYTES tensor: each element is its length (uint32, little endian) and its bytes."""
    texts, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        texts.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return texts


@contextmanager
def http_server(port: int = 0, host: str = "127.0.0.1") -> Iterator[FakeTriton]:
    """A FakeTriton over HTTP."""
    fake = FakeTriton()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(_application(fake))
    with socket.create_server((host, port), family=_family(host)) as listener:
        fake.url = _url(host, listener.getsockname()[1])
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.SockSite(runner, listener).start())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        yield fake
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _application(fake: FakeTriton) -> web.Application:
    async def config(request: web.Request) -> web.Response:
        return web.json_response(fake.config())

    async def infer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        header = int(request.headers.get("Inference-Header-Content-Length", len(body)))
        asked = json.loads(body[:header])
        texts = asked["inputs"][0].get("data") or read_strings(body[header:])
        fake.parameters.append(asked.get("parameters", {}))
        fake.tokens.append(request.headers.get("Authorization"))
        assert request.transport is not None
        fake.peers.append(str(request.transport.get_extra_info("peername")))
        with fake.request() as fault:
            await asyncio.sleep(fault if isinstance(fault, float) else fake.delay)
            return _http_answer(fake, request, texts, fault)

    application = web.Application(client_max_size=1 << 30)
    application.router.add_get("/v2/models/sentiment/config", config)
    application.router.add_post("/v2/models/sentiment/infer", infer)
    return application


def _http_answer(
    fake: FakeTriton, request: web.Request, texts: list[str], fault: str | float | None
) -> web.StreamResponse:
    if fault == "reset":
        assert request.transport is not None
        request.transport.abort()
    errors = {
        "busy": (503, "not ready"),
        "queue": (400, "Exceeds maximum queue size"),
        "overload": (503, OVERLOAD),
        "far": (503, FAR),
        "proxy": (400, "Bad Request"),
        "too large": (413, "Request Entity Too Large"),
        "internal": (500, "boom"),
    }
    if isinstance(fault, str) and fault in errors:
        status, message = errors[fault]
        headers = {"Retry-After": fake.retry_after} if fake.retry_after else None
        return web.json_response({"error": message}, status=status, headers=headers)
    if (row := fake.refused_row(texts)) is not None:
        return web.json_response({"error": NOT_WELCOME.format(row)}, status=400)
    fake.texts.append(texts)
    data = {"label": texts, "score": [0.75] * len(texts), "probabilities": [0.25, 0.75] * len(texts)}
    data |= {"num_tokens": [7] * len(texts), "truncated": [False] * len(texts)}
    data["num_windows"] = [1] * len(texts)
    outputs = [
        {
            "name": name,
            "datatype": OUTPUTS[name],
            "shape": [len(texts), len(values) // len(texts)],
            "data": values,
        }
        for name, values in data.items()
    ]
    return web.Response(text=json.dumps({"model_name": "sentiment", "outputs": outputs}))


class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, fake: FakeTriton) -> None:
        self._fake = fake

    def ModelConfig(self, request, context):
        config = json_format.ParseDict(self._fake.config(), service_pb2.ModelConfigResponse().config)
        return service_pb2.ModelConfigResponse(config=config)

    def ModelInfer(self, request, context):
        texts = read_strings(request.raw_input_contents[0])
        self._fake.peers.append(context.peer())
        found = {
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in request.parameters.items()
        }
        self._fake.parameters.append(found)
        self._fake.tokens.append(dict(context.invocation_metadata()).get("authorization"))
        with self._fake.request() as fault:
            time.sleep(fault if isinstance(fault, float) else self._fake.delay)
            codes = {
                "busy": (grpc.StatusCode.UNAVAILABLE, "not ready"),
                "queue": (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
                "overload": (grpc.StatusCode.UNAVAILABLE, OVERLOAD),
                "far": (grpc.StatusCode.UNAVAILABLE, FAR),
                "proxy": (grpc.StatusCode.INVALID_ARGUMENT, "Bad Request"),
                "reset": (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
                "internal": (grpc.StatusCode.INTERNAL, "boom"),
            }
            if isinstance(fault, str):
                context.abort(*codes[fault])
            if (row := self._fake.refused_row(texts)) is not None:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, NOT_WELCOME.format(row))
            self._fake.texts.append(texts)
            return _grpc_answer(texts)


def _grpc_answer(texts: list[str]) -> service_pb2.ModelInferResponse:
    rows = len(texts)
    raw = {
        "label": b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts),
        "score": struct.pack(f"<{rows}f", *[0.75] * rows),
        "probabilities": struct.pack(f"<{2 * rows}f", *[0.25, 0.75] * rows),
        "num_tokens": struct.pack(f"<{rows}i", *[7] * rows),
        "truncated": struct.pack(f"<{rows}?", *[False] * rows),
        "num_windows": struct.pack(f"<{rows}i", *[1] * rows),
    }
    answer = service_pb2.ModelInferResponse(model_name="sentiment", raw_output_contents=list(raw.values()))
    for name in raw:
        answer.outputs.add(
            name=name, datatype=OUTPUTS[name], shape=[rows, 2 if name == "probabilities" else 1]
        )
    return answer


@contextmanager
def grpc_server(port: int = 0, host: str = "127.0.0.1") -> Iterator[FakeTriton]:
    """A FakeTriton over gRPC."""
    fake = FakeTriton()
    server = grpc.server(ThreadPoolExecutor(max_workers=32))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(fake), server)
    fake.url = _url(host, server.add_insecure_port(_url(host, port)))
    server.start()
    yield fake
    server.stop(None).wait(10)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
