"""The live server: every way of asking gives the same answer."""

import numpy as np
import requests
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient

from serving.launcher import TritonServer

TEXTS = [
    "A great film.",
    "Dull, and far too long; I left before the end.",
    "",
    "Ünïcode \U0001f600 <br /> ok",
]
OUTPUTS = ("label", "score", "probabilities", "num_tokens", "truncated", "num_windows")


def test_generate_json_binary_and_grpc_agree(server: TritonServer) -> None:
    answers = [
        generate(server),
        infer_json(server),
        infer_client(server, httpclient),
        infer_client(server, grpcclient),
    ]
    for answer in answers[1:]:
        for name in OUTPUTS:
            np.testing.assert_array_equal(answer[name], answers[0][name], err_msg=name)
    assert answers[0]["num_tokens"][2] == 2


def generate(server: TritonServer) -> dict[str, np.ndarray]:
    body = requests.post(
        f"{server.http_url}/v2/models/sentiment/generate", json={"text": TEXTS}, timeout=30
    ).json()
    return {name: np.array(body[name]).reshape(len(TEXTS), -1) for name in OUTPUTS}


def infer_json(server: TritonServer) -> dict[str, np.ndarray]:
    text = {"name": "text", "datatype": "BYTES", "shape": [len(TEXTS), 1], "data": TEXTS}
    url = f"{server.http_url}/v2/models/sentiment/infer"
    outputs = requests.post(url, json={"inputs": [text]}, timeout=30).json()["outputs"]
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in outputs}


def infer_client(server: TritonServer, protocol) -> dict[str, np.ndarray]:
    is_http = protocol is httpclient
    url = server.http_url.removeprefix("http://") if is_http else server.grpc_url
    text = protocol.InferInput("text", [len(TEXTS), 1], "BYTES")
    text.set_data_from_numpy(np.array([[each.encode()] for each in TEXTS], np.object_))
    with protocol.InferenceServerClient(url) as client:
        result = client.infer("sentiment", [text])
    arrays = {name: result.as_numpy(name) for name in OUTPUTS}
    return arrays | {"label": np.char.decode(arrays["label"].astype(np.bytes_))}
