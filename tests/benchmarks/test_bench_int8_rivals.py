"""Int8's rivals: a comparison of speed is worth nothing unless all of them compute the classifier."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.int8_rivals import contestants
from benchmarks.rivals.graphs_in_turn import deepened
from benchmarks.rivals.openvino_encoder import Encoder
from export.checkpoint.reading import load_checkpoint
from export.graph.running import open_session, run_rows
from export.precision.fp32 import build_fp32

ROWS = [list(range(5, 5 + length)) for length in (3, 40, 17, 90)]


def test_every_rival_computes_the_classifier(tiny_checkpoint: Path) -> None:
    sessions = contestants(load_checkpoint(tiny_checkpoint), threads=1)
    found = {name: run_rows(open_(), ROWS) for name, open_ in sessions.items()}
    wanted = found["fp32"]
    assert len(found) >= 7
    for name, logits in found.items():
        assert np.abs(logits - wanted).mean() < 0.5 * np.abs(wanted).mean(), name


def test_a_deeper_graph_repeats_the_layers(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    deeper = deepened(checkpoint, 5)
    name = "mobilebert.encoder.layer.{}.attention.self.query.weight"
    np.testing.assert_array_equal(deeper.weights[name.format(4)], checkpoint.weights[name.format(0)])
    np.testing.assert_array_equal(deeper.weights[name.format(3)], checkpoint.weights[name.format(1)])
    assert run_rows(open_session(build_fp32(deeper), threads=1), ROWS).shape == (4, 2)


def test_openvino_computes_the_classifier(tiny_checkpoint: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    model = build_fp32(load_checkpoint(tiny_checkpoint))
    feed = {
        "input_ids": np.concatenate([np.array(row) for row in ROWS]),
        "item_lengths": np.array([len(row) for row in ROWS], np.int32),
    }
    wanted = open_session(model, threads=1).run(["logits"], feed)[0]
    np.testing.assert_allclose(Encoder(model, 1, "f32").run(["logits"], feed)[0], wanted, atol=1e-3)
