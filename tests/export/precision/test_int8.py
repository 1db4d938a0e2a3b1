"""int8: its equations against torch, its arithmetic on any processor, its results in any batch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.graph.folding import fold
from export.graph.running import open_session, run_rows
from export.precision.fp32 import build_fp32
from export.precision.int8 import (
    CALIBRATIONS,
    Int8Options,
    affine,
    build_int8,
    build_int8_twin,
    encode,
    tail_products,
)
from export.precision.int8_equalize import channel_scales
from export.precision.int8_weights import quantize_weight
from export.precision.tensor_ranges import QUANTILES, folded_ranges, measured_ranges, tensor_ranges
from tests.export.oracle import torch_logits, torch_model

ROWS = [[2, *np.random.default_rng(length).integers(5, 150, length).tolist(), 3] for length in range(1, 36)]


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path) -> Checkpoint:
    """With activation ranges, measured in torch on ROWS."""
    return replace(load_checkpoint(small_checkpoint), ranges=torch_ranges(small_checkpoint))


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> ModelProto:
    return build_int8(checkpoint)


def torch_ranges(folder: Path) -> Mapping[str, NDArray[np.float32]]:
    """As a checkpoint ships them: quantiles per channel of what every Linear and NoNorm reads and writes."""
    net, seen = torch_model(folder), {}

    def keep(name: str, value: torch.Tensor) -> None:
        seen.setdefault(name, []).append(value.detach().reshape(-1, value.shape[-1]).numpy())

    def watch(name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda _, inputs, __: keep(f"{name}:input", inputs[0]))
        module.register_forward_hook(lambda _, __, output: keep(f"{name}:output", output))

    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "NoNorm":
            watch(name, module)
    torch_logits(net, ROWS)
    return {
        name: np.quantile(np.concatenate(values), QUANTILES, axis=0).astype(np.float32)
        for name, values in seen.items()
    }


def run(model: ModelProto, rows: list[list[int]], output: str = "logits") -> NDArray[np.float32]:
    """Each row alone."""
    session = open_session(model, threads=1)
    return np.concatenate([run_rows(session, [row], output) for row in rows])


def constants(model: ModelProto) -> dict[str, NDArray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def test_shipped_ranges_lead_to_the_ranges_of_the_graphs_own_tensors(checkpoint: Checkpoint) -> None:
    folded = fold(checkpoint.config, checkpoint.weights)
    derived = folded_ranges(checkpoint.ranges, folded)
    measured = measured_ranges(build_fp32(checkpoint), folded, ROWS)
    last = f"layer{len(folded.layers) - 1}"
    compared = [name for name in derived if not name.startswith(last)]
    assert len(compared) > 10
    for name in compared:
        np.testing.assert_allclose(derived[name], measured[name], atol=2e-4, rtol=1e-3, err_msg=name)


def test_without_shipped_ranges_they_are_measured(checkpoint: Checkpoint) -> None:
    folded = fold(checkpoint.config, checkpoint.weights)
    shipped = set(tensor_ranges(checkpoint, folded))
    assert set(tensor_ranges(replace(checkpoint, ranges={}), folded)) == shipped
    assert set(tensor_ranges(replace(checkpoint, ranges={}, golden=()), folded)) == shipped


@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
def test_equalizing_changes_no_result(checkpoint: Checkpoint, alpha: float | None) -> None:
    twin = build_int8_twin(checkpoint, Int8Options(alpha=alpha))
    wanted = torch_logits(torch_model(checkpoint.folder), ROWS)
    np.testing.assert_allclose(run(twin, ROWS), wanted, atol=1e-4)


def test_equalizing_shares_the_spread_between_activation_and_weights() -> None:
    peaks, weight = np.array([1.0, 100.0, 4.0]), np.array([[1.0, 2.0, 0.5], [0.5, 1.0, 0.25]])
    flat_activation = channel_scales(peaks, [weight], 1.0)
    flat_weight = channel_scales(peaks, [weight], 0.0)
    assert np.ptp(peaks / flat_activation) == pytest.approx(0, abs=1e-9)
    assert np.ptp((weight * flat_weight).max(0)) == pytest.approx(0, abs=1e-9)


def test_a_channel_that_is_always_zero_is_left_alone() -> None:
    scales = channel_scales(np.array([0.0, 3.0]), [np.ones((2, 2))], 0.5)
    assert scales[0] == 1
    assert np.isfinite(scales).all()


@pytest.mark.parametrize("options", [Int8Options(), Int8Options(alpha=None), Int8Options(keep_tail=False)])
def test_logits_stay_near_torchs(checkpoint: Checkpoint, options: Int8Options) -> None:
    wanted = torch_logits(torch_model(checkpoint.folder), ROWS)
    found = run(build_int8(checkpoint, options), ROWS)
    error = np.sqrt(np.mean((found - wanted) ** 2))
    assert error < 0.25 * wanted.std(axis=0).mean()


def test_a_result_does_not_depend_on_the_batch(model: ModelProto) -> None:
    alone = run(model, ROWS, "probabilities")
    together = run_rows(open_session(model, threads=1), ROWS, "probabilities")
    assert np.abs(alone - together).max() <= 0.005


def test_no_pair_of_products_leaves_sixteen_bits(model: ModelProto) -> None:
    """A processor without VNNI adds products of inputs 2k and 2k+1, of 0..255 each, in 16 bits."""
    matrices = 0
    for name, codes in constants(model).items():
        if codes.dtype != np.int8 or codes.ndim < 2:
            continue
        by_input = codes[:, :, 0].T if codes.ndim == 3 else codes
        pairs = by_input[: len(by_input) // 2 * 2].astype(np.int64).reshape(-1, 2, by_input.shape[1])
        worst = max(np.maximum(pairs, 0).sum(1).max(), np.maximum(-pairs, 0).sum(1).max())
        assert worst * 255 <= 2**15 - 1, name
        matrices += 1
    assert matrices > 5


def test_weights_are_within_half_a_step_of_the_originals() -> None:
    weight = np.random.default_rng(0).normal(size=(7, 33)) * np.logspace(-3, 3, 7)[:, None]
    codes = quantize_weight(weight, np.zeros(7), 0.1)
    steps = np.abs(weight / codes.scales[:, None].astype(float) - codes.codes)
    assert steps.max() <= 0.5 + 1e-5
    assert (np.abs(codes.codes).max(axis=1) > 60).all(), "every row uses its range"


def test_a_bias_survives_weights_of_zero() -> None:
    weight, bias = np.zeros((3, 4)), np.array([1.5, -2e6, 0.0])
    weight[2] = 1
    codes = quantize_weight(weight, bias, 0.05)
    restored = codes.bias * codes.scales.astype(np.float64) * 0.05
    np.testing.assert_allclose(restored, bias, rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 7.0), (2.0, 9.0), (-4.0, -1.0), (0.0, 0.0)])
def test_codes_cover_the_range_and_hold_zero_exactly(low: float, high: float) -> None:
    parameters = affine(low, high)

    def decode(x: float) -> float:
        return float((encode(np.array(x), parameters).astype(int) - int(parameters.zero)) * parameters.scale)

    assert decode(0.0) == 0
    for value in (low, high):
        assert decode(value) == pytest.approx(value, abs=float(parameters.scale))


def test_the_clip_of_a_hidden_tensors_codes_is_its_relu(model: ModelProto) -> None:
    values = constants(model)
    convolutions = [node for node in model.graph.node if node.op_type == "QLinearConv"]
    assert convolutions
    for node in convolutions:
        assert values[node.input[7]] == 0
    assert not any(node.op_type == "Relu" for node in model.graph.node if node.output[0].startswith("layer0"))


def test_a_product_has_a_bias_only_where_it_adds_something(model: ModelProto) -> None:
    values = constants(model)
    products = [node for node in model.graph.node if node.op_type == "QGemm"]
    biases = [node.input[6] for node in products if node.input[6]]
    assert 0 < len(biases) < len(products)
    assert all(values[bias].any() for bias in biases)


def test_kept_products_are_in_float32(checkpoint: Checkpoint) -> None:
    folded = fold(checkpoint.config, checkpoint.weights)
    model = build_int8(checkpoint, Int8Options(keep=("layer0.read", "layer0.ffn0.out", "embeddings")))
    operators = {node.output[0]: node.op_type for node in model.graph.node}
    for name in ("layer0.read", "layer0.ffn0.out", "embeddings", *tail_products(folded)):
        product = operators.get(f"{name}.product", operators.get(name))
        assert product == "Gemm", name
    wanted = torch_logits(torch_model(checkpoint.folder), ROWS[:5])
    assert np.abs(run(model, ROWS[:5]) - wanted).max() < wanted.std()


def test_percentiles_give_up_the_tails(checkpoint: Checkpoint) -> None:
    scales = [
        constants(build_int8(checkpoint, Int8Options(calibration=name)))["layer0.ffn0.in.scale"]
        for name in CALIBRATIONS
    ]
    assert scales[0] > scales[1] > scales[2]


def test_its_options_are_in_the_models_metadata(model: ModelProto) -> None:
    kept = {entry.key: entry.value for entry in model.metadata_props}
    assert (kept["calibration"], kept["alpha"]) == (Int8Options().calibration, str(Int8Options().alpha))
    onnx.checker.check_model(model)


SHIPPED = Path(__file__).parents[3] / "checkpoints" / "mobilebert-imdb"


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="the shipped checkpoint is not there")
def test_the_shipped_model_takes_at_most_30_percent_of_fp32s_bytes() -> None:
    checkpoint = load_checkpoint(SHIPPED)
    assert build_int8(checkpoint).ByteSize() <= 0.3 * build_fp32(checkpoint).ByteSize()
