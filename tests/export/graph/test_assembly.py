"""The graph against transformers' torch model: every kind of configuration, row and batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.graph.running import open_session, run_rows
from export.precision.fp32 import build_fp32
from tests.export.oracle import SMALL, edit_weights, torch_logits, torch_model
from tests.synthetic import write_checkpoint

TOLERANCE = 1e-4
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "as released": {},
    "one layer": {"layers": 1},
    "no layer": {"layers": 0},
    "five layers": {"layers": 5},
    "no trigram": {"trigram_input": False},
    "no embedding transformation": {"trigram_input": False, "embedding_size": 96},
    "attention from the bottleneck": {"use_bottleneck_attention": True},
    "attention from the bottleneck, one layer": {"use_bottleneck_attention": True, "layers": 1},
    "no shared key and query": {"key_query_shared_bottleneck": False, "intra_bottleneck_size": 96},
    "one feed-forward": {"num_feedforward_networks": 1},
    "no pooler": {"classifier_activation": False},
    "four labels, one head": {"labels": 4, "num_attention_heads": 1},
    "another padding id": {"pad_token_id": 4},
    "one token type": {"type_vocab_size": 1},
}


def random_rows(checkpoint: Checkpoint, lengths: list[int], seed: int = 0) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    ids = [i for i in range(checkpoint.config.vocab_size) if i != checkpoint.config.pad_token_id]
    return [generator.choice(ids, length).tolist() for length in lengths]


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_logits_equal_torchs_alone_and_together(options: dict[str, Any], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, **{**SMALL, **options})
    checkpoint = load_checkpoint(folder)
    session = open_session(build_fp32(checkpoint), threads=1)
    rows = random_rows(checkpoint, [7, 1, 40, 39, 2, 18])
    wanted = torch_logits(torch_model(folder), rows)
    assert wanted.std(axis=0).min() > 1e-3, (
        "an oracle that gives every row the same logits would prove nothing"
    )
    alone = np.concatenate([run_rows(session, [row]) for row in rows])
    np.testing.assert_allclose(alone, wanted, atol=TOLERANCE)
    np.testing.assert_allclose(run_rows(session, rows), wanted, atol=TOLERANCE)


def test_any_norm_weights_fold_even_zero_negative_and_extreme_ones(tmp_path: Path) -> None:
    def edit(model: torch.nn.Module) -> None:
        generator = torch.Generator().manual_seed(1)
        for module in model.modules():
            if type(module).__name__ == "NoNorm":
                module.weight.copy_(0.5 * torch.randn(module.weight.shape, generator=generator))
                module.weight[0], module.weight[1], module.weight[2] = 0.0, 1e-9, 3e-7
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator))

    folder = edit_weights(write_checkpoint(tmp_path, layers=3, **SMALL), edit)
    checkpoint = load_checkpoint(folder)
    rows = random_rows(checkpoint, [12, 3, 30])
    wanted = torch_logits(torch_model(folder), rows)
    np.testing.assert_allclose(run_rows(open_session(build_fp32(checkpoint)), rows), wanted, atol=TOLERANCE)


def test_a_rows_result_does_not_depend_on_its_batch(
    checkpoint: Checkpoint, session: InferenceSession
) -> None:
    rows = random_rows(checkpoint, [int(n) for n in np.random.default_rng(3).integers(1, 41, 60)])
    alone = np.concatenate([run_rows(session, [row]) for row in rows])
    generator = np.random.default_rng(4)
    for size in (2, 7, 60):
        chosen = generator.permutation(len(rows))[:size]
        np.testing.assert_allclose(run_rows(session, [rows[i] for i in chosen]), alone[chosen], atol=2e-5)


def test_trailing_padding_changes_nothing(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    rows = random_rows(checkpoint, [5, 17, 1])
    padded = [row + [0] * padding for row, padding in zip(rows, (3, 0, 39), strict=True)]
    np.testing.assert_allclose(run_rows(session, padded), torch_logits(model, rows), atol=TOLERANCE)


def test_padding_inside_a_row_is_a_token_as_in_torch(
    session: InferenceSession, model: torch.nn.Module
) -> None:
    rows = [[2, 9, 0, 0, 11, 3], [0, 0, 5]]
    np.testing.assert_allclose(run_rows(session, rows), torch_logits(model, rows), atol=TOLERANCE)


@pytest.mark.parametrize("hollow", [[0, 0, 0], [0], []], ids=["all pad", "one pad", "empty"])
def test_a_hollow_row_never_reads_its_neighbours(
    hollow: list[int], checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    before, after, other = random_rows(checkpoint, [6, 9, 9])
    wanted = torch_logits(model, [before, [0], after])
    np.testing.assert_allclose(run_rows(session, [before, hollow, after]), wanted, atol=TOLERANCE)
    lonely, changed = run_rows(session, [hollow]), run_rows(session, [other, hollow, hollow, other])
    np.testing.assert_allclose(changed[1:3], np.concatenate([lonely, lonely]), atol=TOLERANCE)


def test_ids_outside_the_vocabulary_become_unk_and_harm_no_other(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    assert checkpoint.unk_token_id == 1
    wild = [2, -1, checkpoint.config.vocab_size, 2**40, 3]
    wanted = torch_logits(model, [[2, 1, 1, 1, 3], [2, 7, 3]])
    np.testing.assert_allclose(run_rows(session, [wild, [2, 7, 3]]), wanted, atol=TOLERANCE)


def test_label_score_and_probabilities_follow_from_the_logits(
    checkpoint: Checkpoint, session: InferenceSession
) -> None:
    rows = random_rows(checkpoint, [4, 8, 15, 16, 23, 40, 1, 2] * 4)
    ids, lengths = np.concatenate(rows), np.array([len(row) for row in rows], np.int32)
    label, score, probabilities, logits = session.run(None, {"input_ids": ids, "item_lengths": lengths})
    softmax = torch.softmax(torch.tensor(logits), dim=1).numpy()
    np.testing.assert_allclose(probabilities, softmax, atol=1e-6)
    np.testing.assert_allclose(score, softmax.max(axis=1, keepdims=True), atol=1e-6)
    assert label.tolist() == [[checkpoint.config.labels[i]] for i in logits.argmax(axis=1)]
    assert len(set(label.ravel())) > 1


def test_the_model_is_valid_and_old_runtimes_can_read_it(checkpoint: Checkpoint) -> None:
    model = build_fp32(checkpoint)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 9
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 17, "com.microsoft": 1}
    assert [i.name for i in model.graph.input] == ["input_ids", "item_lengths"]
    assert [o.name for o in model.graph.output] == ["label", "score", "probabilities", "logits"]


def test_the_graph_holds_no_norm_and_no_more_products_than_designed(checkpoint: Checkpoint) -> None:
    operators = [node.op_type for node in build_fp32(checkpoint).graph.node]
    layers, blocks = checkpoint.config.num_hidden_layers, checkpoint.config.num_feedforward_networks
    # Trigram; per layer one read, attention's output, two per feed-forward, output; one more read in the last
    # layer; pooler and classifier.
    assert operators.count("Gemm") == 1 + layers * (3 + 2 * blocks) + 1 + 2
    assert not {"LayerNormalization", "MatMul", "Transpose"} & set(operators)
