"""Half precision: no overflow where a plain conversion overflows, and the algebra that makes it so."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.checkpoint.reading import load_checkpoint
from export.errors import ExportError
from export.graph.algebra import Update
from export.graph.assembly import Precision, build_graph
from export.graph.folding import fold
from export.graph.running import open_session, run_rows, with_outputs
from export.precision.emulation import emulate_half
from export.precision.fp16 import (
    DRIFT,
    PEAK,
    Half,
    build_fp16,
    build_fp16_twin,
    choose_scales,
    powers_of_two,
    score_scales,
    stream_scales,
)
from export.precision.fp32 import build_fp32
from export.precision.rebasing import rescale
from export.precision.tensor_ranges import tensor_ranges
from tests.export.graph.test_assembly import random_rows
from tests.export.oracle import SMALL, edit_weights, torch_logits, torch_model, write_golden
from tests.synthetic import write_checkpoint

LARGEST_HALF = 65504.0
LENGTHS = [1, 3, 7, 12, 20, 33, 40, 40] * 8


def _calm_attention(model: torch.nn.Module) -> None:
    """Scores of random weights tie and saturate, where any rounding decides; trained ones do not."""
    for layer in model.mobilebert.encoder.layer:
        layer.attention.self.query.weight.mul_(0.3)


def _scale_wide_stream(layer: torch.nn.Module, read: torch.Tensor, written: torch.Tensor) -> torch.nn.Module:
    """Divide what a layer reads from the wide stream, multiply what it adds; returns its last bottleneck."""
    for reader in (
        layer.bottleneck.input.dense,
        layer.bottleneck.attention.dense,
        layer.attention.self.value,
    ):
        reader.weight.div_(read)
    expansion = layer.output.bottleneck
    expansion.dense.weight.mul_(written.reshape(-1, 1))
    expansion.dense.bias.mul_(written)
    return expansion


def _inflate_channels(model: torch.nn.Module) -> None:
    """Raise a third of the wide stream's channels to 1e7 and more, and let their readers take that back.

    Every state's channel c is multiplied by factor[c], and every column that reads it divided by that.
    """
    width = model.config.hidden_size
    factor = torch.ones(width)
    factor[::3] = torch.logspace(2, 7, len(factor[::3]))
    embeddings = model.mobilebert.embeddings.LayerNorm
    embeddings.weight.mul_(factor)
    embeddings.bias.mul_(factor)
    for layer in model.mobilebert.encoder.layer:
        expansion = _scale_wide_stream(layer, factor, factor)
        expansion.LayerNorm.bias.mul_(factor)
    model.mobilebert.pooler.dense.weight.div_(factor)


def _grow_by_layer(model: torch.nn.Module) -> None:
    """Let norms double the wide stream layer by layer, as the public model's do, past 1e7."""
    growth = 1.0
    for layer in model.mobilebert.encoder.layer:
        expansion = _scale_wide_stream(layer, torch.tensor(growth), torch.tensor(0.3 * growth))
        expansion.LayerNorm.weight.mul_(2 / expansion.LayerNorm.weight.mean())
        growth *= 2.3
    model.mobilebert.pooler.dense.weight.div_(growth)


DISEASES = {"large channels": (_inflate_channels, 2), "growing stream": (_grow_by_layer, 20)}


def diseased_checkpoint(folder: Path, disease: str) -> Path:
    edit, layers = DISEASES[disease]
    write_checkpoint(folder, layers=layers, **SMALL)
    return write_golden(edit_weights(edit_weights(folder, _calm_attention), edit))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.tensor(np.asarray(logits, dtype=np.float64)), dim=1).numpy()


def _largest_values(model: onnx.ModelProto, rows: list[list[int]]) -> dict[str, float]:
    """Largest magnitude of every floating-point tensor of the graph, infinite where one is not a number."""
    names = [name for node in model.graph.node for name in node.output]
    session = open_session(
        with_outputs(model, [n for n in names if n not in {o.name for o in model.graph.output}])
    )
    ids, lengths = np.concatenate(rows), np.array([len(row) for row in rows], np.int32)
    values = session.run(names, {"input_ids": ids, "item_lengths": lengths})
    largest = {
        n: float(np.abs(v).max(initial=0)) for n, v in zip(names, values, strict=True) if v.dtype.kind == "f"
    }
    return {name: value if np.isfinite(value) else np.inf for name, value in largest.items()}


@pytest.fixture(scope="module", params=DISEASES)
def diseased(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose activations pass 1e7."""
    return diseased_checkpoint(tmp_path_factory.mktemp("diseased"), request.param)


def test_a_checkpoint_beyond_1e7_overflows_when_halved_plainly_and_works_when_scaled(diseased: Path) -> None:
    checkpoint, model = load_checkpoint(diseased), torch_model(diseased)
    rows = random_rows(checkpoint, LENGTHS)
    with torch.no_grad():
        states = model(torch.tensor([rows[-1]]), output_hidden_states=True).hidden_states
    assert max(float(state.abs().max()) for state in states) >= 1e7
    wanted = torch_logits(model, rows)
    decided = np.abs(_softmax(wanted)[:, 0] - 0.5) > 0.01
    rows, wanted = [row for row, keep in zip(rows, decided, strict=True) if keep], wanted[decided]
    assert len(set(wanted.argmax(axis=1))) > 1, "labels must differ for their agreement to mean something"
    assert not np.isfinite(torch_logits(torch_model(diseased).half(), rows[:3])).all()

    fp16 = build_fp16(checkpoint)
    for graph in (fp16, emulate_half(fp16)):
        logits = run_rows(open_session(graph), rows)
        assert np.isfinite(logits).all()
        assert (logits.argmax(axis=1) == wanted.argmax(axis=1)).all()
        np.testing.assert_allclose(_softmax(logits), _softmax(wanted), atol=1e-2)


def test_every_tensor_of_the_scaled_graph_stays_inside_the_range_with_headroom(diseased: Path) -> None:
    checkpoint = load_checkpoint(diseased)
    fp16 = emulate_half(build_fp16(checkpoint))
    largest = _largest_values(fp16, random_rows(checkpoint, LENGTHS))
    halves = {name: value for name, value in largest.items() if name.endswith(".half")}
    assert len(halves) > 20
    # Scales come from five golden texts; these rows are others.
    assert max(halves.values()) < LARGEST_HALF / 4


def test_the_same_graph_without_scales_overflows(diseased: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = load_checkpoint(diseased)
    monkeypatch.setattr(Half, "store", Precision.store)
    with np.errstate(over="ignore"):
        plain = build_graph(checkpoint, fold(checkpoint.config, checkpoint.weights), Half())
    assert not np.isfinite(
        run_rows(open_session(emulate_half(plain)), random_rows(checkpoint, [20, 9]))
    ).all()


def test_weights_beyond_the_range_are_refused_not_stored(diseased: Path) -> None:
    checkpoint = load_checkpoint(diseased)
    with pytest.raises(ExportError, match="--precision fp32"):
        build_graph(checkpoint, fold(checkpoint.config, checkpoint.weights), Half())


def test_rescaling_by_powers_of_two_rounds_nothing(small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    rows = random_rows(checkpoint, [5, 40, 17])
    plain, scaled = (
        run_rows(open_session(build(checkpoint)), rows) for build in (build_fp32, build_fp16_twin)
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"trigram_input": False, "embedding_size": 96}, {"layers": 0}])
def test_any_positive_scales_leave_the_logits_as_they_are(options: dict, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(write_checkpoint(tmp_path, **{**SMALL, **options}))
    folded, generator = fold(checkpoint.config, checkpoint.weights), np.random.default_rng(0)
    peaks = {
        name: np.exp2(generator.integers(0, 16, each.shape[1])).astype(np.float64)
        for name, each in tensor_ranges(checkpoint, folded).items()
    }
    scaled = rescale(folded, choose_scales(folded, peaks))
    assert options.get("layers") == 0 or scaled.layers[0].score_scale != 1
    rows = random_rows(checkpoint, [5, 40, 17])
    got = run_rows(open_session(build_graph(checkpoint, scaled, Precision())), rows)
    np.testing.assert_allclose(got, run_rows(open_session(build_fp32(checkpoint)), rows), atol=2e-5)


def test_a_checkpoint_without_ranges_and_golden_texts_is_scaled_by_built_in_ones(
    own_checkpoint: Path,
) -> None:
    (own_checkpoint / "golden.jsonl").unlink()
    checkpoint = load_checkpoint(own_checkpoint)
    rows = random_rows(checkpoint, [5, 40, 17])
    logits = run_rows(open_session(emulate_half(build_fp16(checkpoint))), rows)
    np.testing.assert_allclose(
        _softmax(logits), _softmax(torch_logits(torch_model(own_checkpoint), rows)), atol=1e-2
    )


def test_weights_and_activations_are_half_and_the_head_is_not(small_checkpoint: Path) -> None:
    graph = build_fp16(load_checkpoint(small_checkpoint)).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert types["layer0.read.weight"] == types["words.table"] == TensorProto.FLOAT16
    assert types["pooler.weight"] == types["windows.logits.weight"] == TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(
        build_fp16(load_checkpoint(small_checkpoint))
    ).graph.value_info
    kinds = {info.name: info.type.tensor_type.elem_type for info in inferred}
    assert kinds["layer0.ffn0.in"] == kinds["layer0.read"] == TensorProto.FLOAT16
    assert kinds["layer0.query"] == kinds["layer0.key"] == TensorProto.FLOAT, "softmax works in float32"


def test_scales_are_powers_of_two_that_bring_every_peak_to_the_target_or_below() -> None:
    peaks = np.array([1e-30, 3e-6, 0.7, PEAK, PEAK + 1, 65504.0, 1e7, 1e12])
    scales = powers_of_two(peaks)
    assert (np.frexp(scales)[0] == 0.5).all()
    assert (peaks / scales <= PEAK).all()
    assert (peaks / scales > PEAK / 2).all()
    assert powers_of_two(np.zeros(1)) == 1


def test_a_stream_keeps_its_scale_until_a_channel_falls_too_far_behind() -> None:
    step = Update(np.zeros((2, 1))), np.ones(1)
    steady = [np.array([1.0, 8.0]), np.array([DRIFT, 8.0]), np.array([2.0, 9.0])]
    first, second, third = stream_scales(steady, [step, step])
    assert (first == second).all()
    assert (second == third).all()
    falling = [*steady, np.array([0.5, 8.0])]
    *before, last = stream_scales(falling, [step, step, step])
    assert (before[-1] == first).all()
    assert last[0] < first[0]


def test_a_sum_ahead_of_a_factor_fits_the_scale_of_the_state_before() -> None:
    huge = Update(np.full((2, 1), 1e6), factor=np.array([1e-6, 1.0]))
    before, after = stream_scales([np.ones(2), np.ones(2)], [(huge, np.full(1, 10.0))])
    assert (1e7 / before <= PEAK).all()
    assert (1 / after > PEAK / 2).all()


@pytest.mark.parametrize("query", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("key", [1e-3, 1.0, 1e6])
def test_scales_of_queries_and_keys_give_one_power_of_two_and_fit(query: float, key: float) -> None:
    queries, keys = query * np.array([1.0, 3.0, 50.0]), key * np.array([70.0, 1.0, 0.2])
    for_queries, for_keys, exponent = score_scales(queries, keys)
    assert (for_queries * for_keys == 2.0**exponent).all()
    assert (queries / for_queries <= 2 * PEAK).all()
    assert (keys / for_keys <= 2 * PEAK).all()


def test_emulation_rounds_and_overflows_as_numpys_half_does() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Mul", ["square", "small"], ["y"]),
        helper.make_node("Cast", ["y"], ["result"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["n"])]
    outputs = [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["n"])]
    small = numpy_helper.from_array(np.float16(0.001), "small")
    cast = helper.make_node("Cast", ["raw"], ["x"], to=TensorProto.FLOAT16)
    graph = helper.make_graph([cast, *nodes], "g", inputs, outputs, [small])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = np.array([1.2345678, 17.3, 300.0, 1e-3], np.float32)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
        wanted = (half * half * np.float16(0.001)).astype(np.float32)
    assert np.isinf(wanted[2])
    np.testing.assert_array_equal(open_session(emulate_half(model)).run(None, {"raw": values})[0], wanted)
