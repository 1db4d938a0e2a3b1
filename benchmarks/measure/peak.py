"""The limit: the fastest matrix product that this machine's libraries reach, by precision."""

import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

SIZES = (512, 1024, 2048)


def measure_peaks(cores: int, seconds: float) -> dict[str, dict[str, float]]:
    """Best GFLOP/s (GOP/s for int8) of each library on ``cores`` threads, over square sizes, by precision."""
    torch.set_num_threads(cores)
    return {
        "fp32": {
            "torch": _best(lambda size: _torch_product(size, torch.float32), seconds),
            "onnxruntime": _best(lambda size: _ort_product(size, cores), seconds),
        },
        "bf16": {"torch": _best(lambda size: _torch_product(size, torch.bfloat16), seconds)},
        "int8": {
            "torch": _best(_torch_int8_product, seconds),
            "onnxruntime": _best(lambda size: _ort_int8_product(size, cores), seconds),
        },
    }


def best_peak(peaks: dict[str, dict[str, float]], precision: str) -> float:
    """The highest figure of any library for this precision, in GFLOP/s."""
    return max(peaks[precision].values())


def _best(make: Callable[[int], Callable[[], object]], seconds: float) -> float:
    """Sizes go up while one product fits into the time: without the right instructions some take a minute."""
    best, budget = 0.0, seconds / len(SIZES)
    for size in SIZES:
        if best and 2 * size**3 / (best * 1e9) > budget:
            break
        best = max(best, _rate(make(size), size, budget))
    return best


def _rate(product: Callable[[], object], size: int, seconds: float) -> float:
    """GFLOP/s of the fastest of the repetitions that fit: a limit is a maximum, so no mean."""
    product()
    fastest, deadline = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        product()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * size**3 / fastest / 1e9


def _torch_product(size: int, dtype: torch.dtype) -> Callable[[], object]:
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return lambda: torch.mm(left, right)


def _torch_int8_product(size: int) -> Callable[[], object]:
    left, right = (torch.randint(-100, 100, (size, size), dtype=torch.int8) for _ in range(2))
    return lambda: torch._int_mm(left, right)


def _ort_product(size: int, cores: int) -> Callable[[], object]:
    constant = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    return _ort_runner("MatMul", constant, TensorProto.FLOAT, TensorProto.FLOAT, constant, cores)


def _ort_int8_product(size: int, cores: int) -> Callable[[], object]:
    generator = np.random.default_rng(0)
    weights = generator.integers(-100, 100, (size, size), dtype=np.int8)
    inputs = generator.integers(0, 200, (size, size), dtype=np.uint8)
    return _ort_runner("MatMulInteger", weights, TensorProto.UINT8, TensorProto.INT32, inputs, cores)


def _ort_runner(
    operator: str, weights: np.ndarray, taken: int, given: int, inputs: np.ndarray, cores: int
) -> Callable[[], object]:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", taken, list(inputs.shape))],
        [helper.make_tensor_value_info("y", given, [inputs.shape[0], weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return lambda: session.run(None, {"x": inputs})
