"""The live server's manners: what it refuses, how it says so, and what it keeps closed."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from serving.launcher import TritonServer

GOOD = {"text": "A good film."}


def generate(server: TritonServer, body: dict | bytes) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(f"{server.http_url}/v2/models/sentiment/generate", data=data, timeout=60)


def infer(server: TritonServer, shape: list[int], data: list, datatype: str = "BYTES") -> requests.Response:
    text = {"name": "text", "datatype": datatype, "shape": shape, "data": data}
    return requests.post(f"{server.http_url}/v2/models/sentiment/infer", json={"inputs": [text]}, timeout=60)


def test_a_refusal_names_the_reason_and_nothing_else(server: TritonServer) -> None:
    invalid = generate(server, b'{"text": "\xff\xfe"}')
    assert (invalid.status_code, invalid.json()["error"]) == (
        400,
        "in ensemble 'sentiment', text 0 is not valid UTF-8 at byte 0",
    )
    long = generate(server, {"text": ["fine", "x" * (2**20 + 1)]})
    assert (long.status_code, long.json()["error"]) == (
        400,
        "in ensemble 'sentiment', text 1 has 1048577 bytes, more than the limit of 1048576",
    )


def test_the_longest_text_allowed_is_served_and_truncated(server: TritonServer) -> None:
    answer = generate(server, {"text": "good " * (2**20 // 5)}).json()
    assert (answer["num_tokens"], answer["truncated"], answer["num_windows"]) == (4096, True, 9)


def test_a_request_may_choose_how_a_long_text_is_read(server: TritonServer) -> None:
    text = "good " * 900
    told = [
        generate(server, {"text": f"{number} {text}", **choice}).json()
        for number, choice in enumerate(({}, {"max_tokens": 512}, {"truncation": "head_tail"}))
    ]
    read = [(each["num_tokens"], each["truncated"], each["num_windows"]) for each in told]
    assert read == [(903, False, 2), (512, True, 1), (512, True, 1)]
    refused = generate(server, {"text": text, "max_tokens": 5000})
    assert refused.status_code == 400
    assert "max_tokens must be a whole number from 3 to 4096" in refused.json()["error"]


@pytest.mark.parametrize(
    ("shape", "data", "datatype"),
    [
        ([2, 2], ["a"] * 4, "BYTES"),
        ([1], ["a"], "BYTES"),
        ([1, 1], ["a", "b"], "BYTES"),
        ([0, 1], [], "BYTES"),
        ([65, 1], ["a"] * 65, "BYTES"),
        ([1, 1], [1], "INT64"),
    ],
)
def test_wrong_shapes_and_types_are_refused(
    server: TritonServer, shape: list, data: list, datatype: str
) -> None:
    answer = infer(server, shape, data, datatype)
    assert answer.status_code == 400
    assert not any(leak in answer.text for leak in ("Traceback", ".py", "/tmp"))


def test_refused_requests_cost_their_neighbours_nothing(server: TritonServer) -> None:
    expected = generate(server, GOOD).json()["probabilities"]
    bodies = [GOOD, b'{"text": "\xff"}', {"text": "x" * 2**21}] * 10
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda body: generate(server, body), bodies))
    assert [answer.status_code for answer in answers] == [200, 400, 400] * 10
    assert all(answer.json()["probabilities"] == expected for answer in answers[::3])


def test_a_repeated_text_gets_what_each_request_asks_for(server: TritonServer) -> None:
    """Triton's response cache would answer the later ones with what the first one asked for."""
    text = "Seen before, and seen again."
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]
    for name in ("label", "probabilities", "num_tokens"):
        body = {"inputs": inputs, "outputs": [{"name": name}]}
        answer = requests.post(f"{server.http_url}/v2/models/sentiment/infer", json=body, timeout=60).json()
        assert [each["name"] for each in answer["outputs"]] == [name]
    whole = generate(server, {"text": text}).json()
    cut = generate(server, {"text": text, "max_tokens": 5}).json()
    assert (cut["num_tokens"], cut["truncated"]) == (5, True)
    assert whole["truncated"] is False
    assert generate(server, {"text": text}).json()["probabilities"] == whole["probabilities"]


@pytest.mark.parametrize(
    "path", ["systemsharedmemory/region/x/register", "repository/index", "trace/setting", "logging"]
)
def test_administrative_interfaces_are_closed(server: TritonServer, path: str) -> None:
    answer = requests.post(f"{server.http_url}/v2/{path}", json={}, timeout=10)
    assert answer.status_code == 403
    key = {"admin-key": server.options.admin_key}
    assert requests.post(f"{server.http_url}/v2/{path}", json={}, headers=key, timeout=10).status_code != 403


def test_shared_memory_is_closed_over_grpc_too(server: TritonServer) -> None:
    import tritonclient.grpc as grpcclient
    from tritonclient.utils import InferenceServerException

    client = grpcclient.InferenceServerClient(server.grpc_url)
    with client, pytest.raises(InferenceServerException, match="restricted"):
        client.get_system_shared_memory_status()


def test_the_server_listens_on_loopback_only(server: TritonServer) -> None:
    import psutil

    addresses = {
        each.laddr.ip.removeprefix("::ffff:")
        for each in psutil.Process(server.pid).net_connections()
        if each.status == "LISTEN"
    }
    assert addresses == {"127.0.0.1"}
