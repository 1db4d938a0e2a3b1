"""The Python-based onnxruntime backend in a live server, on small hand-made models."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import requests
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from serving.launcher import TritonServer
from tests.serving.onnxruntime_backend.small_models import KINDS, TYPES, write_repository
from tests.waiting import until

LOADED = ("identity", "kinds", "lookup", "bare", "tiny")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = write_repository(tmp_path_factory.mktemp("small_models"))
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(repository, load_models=LOADED, log=lambda line: None, **ports) as live:
        yield live


def infer(server: TritonServer, model: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """One request on a connection of its own; clients are not thread-safe."""
    tensors = []
    for name, value in inputs.items():
        tensors.append(httpclient.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)))
        tensors[-1].set_data_from_numpy(value)
    with httpclient.InferenceServerClient(server.http_url.removeprefix("http://")) as client:
        result = client.infer(model, tensors)
    return {each["name"]: result.as_numpy(each["name"]) for each in result.get_response()["outputs"]}


def test_every_data_type_passes_through_unchanged(backend: TritonServer) -> None:
    inputs = {}
    for name in TYPES:
        values = np.array([["é".encode(), b"", b"two words"]] if name == "STRING" else [[0, 1, 100]])
        inputs[f"in_{name}"] = values.astype(np.object_ if name == "STRING" else triton_to_np_dtype(name))
    outputs = infer(backend, "identity", **inputs)
    for name in TYPES:
        np.testing.assert_array_equal(outputs[f"out_{name}"], inputs[f"in_{name}"], err_msg=name)
        assert outputs[f"out_{name}"].dtype == inputs[f"in_{name}"].dtype


def test_batch_inputs_of_a_shared_batch(backend: TritonServer) -> None:
    """Two requests, of one and of two rows, make the three rows for which the batcher waits."""
    shapes = [(1, 3), (2, 4)]
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda shape: infer(backend, "kinds", x=np.ones(shape, np.float32)), shapes)
    seen = {kind: first[f"out_{kind}"][0].tolist() for kind in KINDS}
    in_order, reversed_order = (
        expected_batch_inputs([(1, 3), (2, 4)]),
        expected_batch_inputs([(2, 4), (1, 3)]),
    )
    assert seen in (in_order, reversed_order)
    assert [second[f"out_{kind}"].tolist() for kind in KINDS] == [[seen[kind]] * 2 for kind in KINDS]


def expected_batch_inputs(shapes: list[tuple[int, int]]) -> dict[str, list[int]]:
    counts = [rows * columns for rows, columns in shapes]
    ends = [sum(counts[: number + 1]) for number in range(len(counts))]
    items = [columns for rows, columns in shapes for _ in range(rows)]
    return dict(zip(KINDS, [counts, ends, [0, *ends], items, items], strict=True))


def test_a_failing_request_costs_only_itself(backend: TritonServer) -> None:
    """Three requests share one run; the index out of range makes that run fail for all of them at first."""
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda index: lookup(backend, index), [3, 99, 7]))
    assert (answers[0], answers[2]) == (9, 49)
    assert answers[1] == "the model failed on this request; the server's log says why"
    until(lambda: any("indices element out of data bounds" in line for line in list(backend.log_lines)))


def lookup(server: TritonServer, index: int) -> int | str:
    try:
        return int(infer(server, "lookup", index=np.array([[index]]))["square"][0, 0])
    except InferenceServerException as error:
        return error.message()


@pytest.mark.parametrize("rows", [1, 4], ids=["in the caller's thread", "in the runner's threads"])
def test_numbers_too_small_for_a_processors_fast_path_are_zero(backend: TritonServer, rows: int) -> None:
    smallest, normal = (np.full((rows, 1), value, np.float32) for value in (1e-10, 1.0))
    assert infer(backend, "tiny", x=smallest)["y"].tolist() == [[0.0]] * rows
    np.testing.assert_allclose(infer(backend, "tiny", x=normal)["y"], np.full((rows, 1), 1e-30), rtol=1e-6)


def test_each_instance_has_its_own_process(backend: TritonServer) -> None:
    commands = [child.cmdline() for child in psutil.Process(backend.pid).children(recursive=True)]
    assert sum(any(part.startswith("lookup_0_") for part in command) for command in commands) == 2


def test_a_bare_configuration_is_completed_from_the_model(backend: TritonServer) -> None:
    config = requests.get(f"{backend.http_url}/v2/models/bare/config", timeout=10).json()
    assert config["max_batch_size"] == 4
    assert [(each["name"], each["data_type"], each["dims"]) for each in config["input"]] == [
        ("x", "TYPE_FP32", [3])
    ]
    assert "dynamic_batching" in config
    np.testing.assert_array_equal(
        infer(backend, "bare", x=np.ones((2, 3), np.float32))["y"], -np.ones((2, 3))
    )


def test_a_configuration_that_contradicts_the_model_does_not_load(backend: TritonServer) -> None:
    key = {"admin-key": backend.options.admin_key}
    answer = requests.post(
        f"{backend.http_url}/v2/repository/models/wrong_type/load", headers=key, timeout=30
    )
    assert answer.status_code == 400
    assert "input 'x' is tensor(float) in the model, another type in the configuration" in answer.text
    assert "Traceback" not in answer.text
