"""Malformed HTTP requests for a Triton server: `attack(generator, marker)` is the bytes of one.

`marker` is a word of the request's own: seen in the reply to another request, it is a leak.
"""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

from tests.hostile.mutations import NUMBERS, STRINGS, any_value, dumps, mutate_bytes, mutate_json
from tests.hostile.wire import request

Attack = Callable[[random.Random, str], bytes]
MODEL = "/v2/models/sentiment"
ENDPOINTS = (f"{MODEL}/infer", f"{MODEL}/generate", f"{MODEL}/generate_stream", f"{MODEL}/versions/1/infer")
CLOSED = (
    "/v2/systemsharedmemory/status",
    "/v2/systemsharedmemory/region/x/register",
    "/v2/systemsharedmemory/unregister",
    "/v2/cudasharedmemory/region/x/register",
    "/v2/cudasharedmemory/status",
    "/v2/trace/setting",
    f"{MODEL}/trace/setting",
    "/v2/logging",
    "/v2/repository/index",
    "/v2/repository/models/sentiment/load",
    "/v2/repository/models/mobilebert_tokenizer/unload",
)


def tensor(marker: str) -> dict[str, Any]:
    return {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [f"A good film {marker}."]}


def body_for(path: str, marker: str) -> dict[str, Any]:
    """What a well-behaved client would send there."""
    if "generate" in path:
        return {"text": f"A good film {marker}.", "id": marker, "parameters": {"priority": 1}}
    outputs = [{"name": name, "parameters": {"binary_data": False}} for name in ("label", "score")]
    return {"id": marker, "inputs": [tensor(marker)], "outputs": outputs, "parameters": {"sequence_id": 0}}


def spare_the_machine(body: Any) -> Any:
    """`body` without shapes that Triton would allocate, and fill, before it looks at the data.

    It does that for numbers, not for BYTES: test_known_killers.py has the ones that end the server at once.
    """
    for each in body["inputs"] if isinstance(body, dict) and isinstance(body.get("inputs"), list) else []:
        if isinstance(each, dict) and each.get("datatype") != "BYTES" and isinstance(each.get("shape"), list):
            each["shape"] = [
                min(size, 1 << 10) if isinstance(size, int) else size for size in each["shape"][:2]
            ]
    return body


def wrong_types_and_names(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    body: Any = body_for(path, marker)
    for _ in range(generator.randint(1, 3)):
        body = mutate_json(body, generator)
    return request("POST", path, dumps(spare_the_machine(body)))


def parameters_not_utf8(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    where = generator.choice((b"na\xffme", b"\xc3", b"\xed\xa0\x80"))
    body = {**body_for(path, marker), "parameters": {"NAME": 1}}
    return request("POST", path, dumps(body).replace(b"NAME", where))


def malformed_json(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    return request("POST", path, mutate_bytes(dumps(body_for(path, marker)), generator))


def wrong_shapes(generator: random.Random, marker: str) -> bytes:
    shape = [generator.choice(NUMBERS) for _ in range(generator.randint(0, 4))]
    rows = [f"row {row} {marker}" for row in range(generator.choice((0, 1, 2, 65, 300)))]
    data = generator.choice((rows, [rows], [[row] for row in rows], [any_value(generator) for _ in rows]))
    datatype = generator.choice(("BYTES", "BYTES", "INT64", "FP32", "BOOL", "FP16", "NONE", ""))
    text = {**tensor(marker), "shape": shape, "data": data, "datatype": datatype}
    tensors = [text] * generator.choice((1, 1, 2, 100))
    return request("POST", f"{MODEL}/infer", dumps(spare_the_machine({"inputs": tensors})))


def wrong_binary_sizes(generator: random.Random, marker: str) -> bytes:
    word = f"A good film {marker}.".encode()
    prefix = generator.choice((len(word), 0, 1, len(word) + 1, 1 << 20, (1 << 31) - 1, (1 << 32) - 1))
    data = (prefix.to_bytes(4, "little") + word) * generator.randint(0, 3)
    size = generator.choice((len(data), *NUMBERS, any_value(generator)))
    text = {"name": "text", "datatype": "BYTES", "shape": [generator.choice((1, 2, 64)), 1]}
    text["parameters"] = {"binary_data_size": size}
    header = dumps({"inputs": [text], "outputs": [{"name": "label", "parameters": {"binary_data": True}}]})
    length = generator.choice((len(header), len(header), len(header) + 1, *NUMBERS, "abc"))
    headers = {"Inference-Header-Content-Length": str(length)}
    return request("POST", generator.choice(ENDPOINTS), header + data, headers)


def internal_models(generator: random.Random, marker: str) -> bytes:
    """The ensemble's steps can be asked by themselves: token ids of any kind."""
    ids = [
        generator.choice((-1, 0, 101, 30521, 30522, (1 << 31) - 1)) for _ in range(generator.randint(0, 600))
    ]
    shape = generator.choice(([1, len(ids)], [len(ids)], [1, -len(ids)], [2, len(ids)], [1, 1 << 20]))
    text = {
        "name": "input_ids",
        "datatype": generator.choice(("INT64", "INT32", "BYTES")),
        "shape": shape,
        "data": ids,
    }
    model = generator.choice(("mobilebert_fp32", "mobilebert_tokenizer"))
    return request("POST", f"/v2/models/{model}/infer", dumps({"id": marker, "inputs": [text]}))


def deep_nesting(generator: random.Random, marker: str) -> bytes:
    depth = generator.choice((100, 1000, 20_000, 100_000))
    opening, closing = generator.choice((("[", "]"), ('{"a":', "}"), ("[[", "]")))
    deep = opening * depth + json.dumps(marker) + closing * generator.choice((depth, 0))
    path = generator.choice(ENDPOINTS)
    place = generator.choice(
        ('{"text":%s}', '{"inputs":%s}', '{"inputs":[{"name":%s}]}', "%s", '{"text":"a","parameters":%s}')
    )
    return request("POST", path, (place % deep).encode())


def compressed(generator: random.Random, marker: str) -> bytes:
    """Bombs of 1:1000, broken streams, and names of encodings that say something else."""
    path = generator.choice(ENDPOINTS)
    plain = dumps(body_for(path, marker)) + b" " * generator.choice((0, 1 << 20, 8 << 20))
    packed = generator.choice((gzip.compress, zlib.compress))(plain)
    broken = generator.choice(
        (packed, packed[: len(packed) // 2], mutate_bytes(packed, generator), b"", plain[:99])
    )
    encoding = generator.choice(("gzip", "deflate", "gzip, gzip", "br", "identity", "x" * 999))
    return request("POST", path, broken, {"Content-Encoding": encoding, "Accept-Encoding": encoding})


def truncated(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    body = dumps(body_for(path, marker))
    whole = request("POST", path, body, length=generator.choice((len(body), *NUMBERS, "abc", "", "1, 2")))
    return whole[: generator.randrange(1, len(whole))]


def chunked(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = dumps(body_for(path, marker))
    if generator.random() < 0.3:
        pieces = b"".join(b"1\r\n%c\r\n" % each for each in b" " * generator.choice((10, 10_000)) + body)
    else:
        pieces = b"%x\r\n%s\r\n" % (generator.choice((len(body), 0, 1 << 31, 1 << 62)), body)
    return head + mutate_bytes(pieces, generator) + generator.choice((b"0\r\n\r\n", b""))


def header_floods(generator: random.Random, marker: str) -> bytes:
    path = generator.choice(ENDPOINTS)
    count, width = generator.choice(((1, 1 << 20), (2000, 100), (20_000, 1), (1, 0), (100, 5000)))
    headers = {f"X-{marker}-{number}": "y" * width for number in range(count)}
    headers[generator.choice(("Connection", "Expect", "Upgrade", "traceparent"))] = generator.choice(
        STRINGS
    ).replace("\x00", "")
    return request("POST", path, dumps(body_for(path, marker)), headers)


def wrong_start(generator: random.Random, marker: str) -> bytes:
    method = generator.choice(("GET", "PUT", "DELETE", "TRACE", "CONNECT", "post", "A" * 3000, "PRI"))
    path = generator.choice(
        (*ENDPOINTS, "/" * 3000, f"/v2/models/{marker}/infer", "/v2/models//infer", "*", "/%00%2e%2e%2f")
    )
    whole = request(method, path, dumps(body_for(path, marker)))
    return generator.choice(
        (whole, mutate_bytes(whole, generator), b"\x16\x03\x01" + whole, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    )


def strange_places(generator: random.Random, marker: str) -> bytes:
    """Versions and names that lead elsewhere."""
    name = generator.choice(
        ("sentiment", "..%2f..%2fetc%2fpasswd", "%2e%2e", marker, "a" * 2000, "%ff%fe", "sentiment%00")
    )
    version = generator.choice(("1", "-1", "0", "99999999999999999999", "..", "1%2f..", marker))
    action = generator.choice(("infer", "generate", "config", "stats", "ready", marker, "../../.."))
    path = f"/v2/models/{name}/versions/{version}/{action}"
    return request(generator.choice(("POST", "GET")), path, dumps(body_for(path, marker)))


def closed_interfaces(generator: random.Random, marker: str) -> bytes:
    """Shared memory, trace, logging and the repository, with keys that are no keys."""
    body = {"key": "/dev/shm/x", "offset": 0, "byte_size": 1 << 40, "trace_file": marker, "log_file": marker}
    body["parameters"] = {"config": json.dumps({"backend": "python"}), "file:1/model.py": "aW1wb3J0IG9z"}
    headers = {"admin-key": generator.choice(("", "0" * 32, marker, "admin-key"))}
    path = generator.choice(CLOSED)
    content = generator.choice(
        (dumps(body), mutate_bytes(dumps(body), generator), dumps(mutate_json(body, generator)))
    )
    return request(generator.choice(("POST", "GET")), path, content, headers)


def shared_memory_inputs(generator: random.Random, marker: str) -> bytes:
    """A region that nobody registered, as input or output."""
    region = {"shared_memory_region": generator.choice((marker, "", "/dev/shm/x", 7))}
    region |= {
        "shared_memory_byte_size": generator.choice(NUMBERS),
        "shared_memory_offset": generator.choice(NUMBERS),
    }
    text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "parameters": region}
    body = generator.choice(
        (
            {"inputs": [text]},
            {"inputs": [tensor(marker)], "outputs": [{"name": "label", "parameters": region}]},
        )
    )
    return request("POST", f"{MODEL}/infer", dumps(body))


ATTACKS: tuple[Attack, ...] = (
    wrong_types_and_names,
    parameters_not_utf8,
    malformed_json,
    wrong_shapes,
    wrong_binary_sizes,
    internal_models,
    deep_nesting,
    compressed,
    truncated,
    chunked,
    header_floods,
    wrong_start,
    strange_places,
    closed_interfaces,
    shared_memory_inputs,
)
