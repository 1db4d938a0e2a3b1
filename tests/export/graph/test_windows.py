"""Rows longer than the model's positions, against transformers: windows cut by hand, one forward each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.errors import ExportError
from export.graph.running import open_session, run_rows, with_outputs
from export.graph.windows import MAX_TOKENS, Windows
from export.precision.emulation import emulate_half
from export.precision.fp16 import build_fp16
from export.precision.fp32 import build_fp32
from export.precision.int8 import build_int8
from tests.export.graph.test_assembly import TOLERANCE, random_rows
from tests.export.oracle import SMALL, long_row_logits, torch_model, windows_by_hand
from tests.synthetic import write_checkpoint

POSITIONS = SMALL["max_position_embeddings"]
# One window to many, and what lies around every border: a window has room for 38 tokens.
LENGTHS = [41, 40, 42, 1, 77, 78, 79, 200, 7, 115, 116, 117, 39]


@pytest.mark.parametrize("positions", [3, 4, 5, 8, 40, 512, 1000])
def test_windows_share_a_text_evenly_and_in_order(positions: int) -> None:
    windows = Windows(positions)
    for length in [*range(1, 300), 511, 512, 513, 1021, 1022, 1023, 4095, 4096]:
        row = list(range(length))
        cut = windows.cut(row)
        assert cut == windows_by_hand(row, positions)
        assert len(cut) == windows.count(length)
        assert all(len(window) <= positions for window in cut)
        if length > positions:
            assert [each for window in cut for each in window[1:-1]] == row[1:-1]
            assert {len(window) for window in cut} <= {len(cut[0]), len(cut[0]) + 1}


def test_a_row_is_read_up_to_its_limit() -> None:
    assert Windows(512).cut(range(MAX_TOKENS + 7)) == Windows(512).cut(range(MAX_TOKENS))
    assert Windows(8192).cut(range(9000)) == [list(range(8192))]


def test_positions_without_room_for_a_token_are_refused_by_name() -> None:
    with pytest.raises(ExportError, match="max_position_embeddings is 2"):
        Windows(2)


def test_long_rows_equal_torchs_windows_alone_and_among_others(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    rows = random_rows(checkpoint, LENGTHS)
    wanted = long_row_logits(model, rows, POSITIONS)
    alone = np.concatenate([run_rows(session, [row]) for row in rows])
    np.testing.assert_allclose(alone, wanted, atol=TOLERANCE)
    np.testing.assert_allclose(run_rows(session, rows), wanted, atol=TOLERANCE)
    cut_short = np.concatenate([run_rows(session, [row[:POSITIONS]]) for row in rows])
    assert np.abs(cut_short - wanted).max() > 0.1, "reading on must matter, or nothing was proved"


@pytest.mark.parametrize("options", [{"trigram_input": False}, {"layers": 0}, {"layers": 1}], ids=str)
def test_long_rows_of_other_configurations_equal_torchs(options: dict[str, object], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, **{**SMALL, **options})
    checkpoint = load_checkpoint(folder)
    rows = random_rows(checkpoint, [90, 3, 41])
    wanted = long_row_logits(torch_model(folder), rows, POSITIONS)
    np.testing.assert_allclose(run_rows(open_session(build_fp32(checkpoint)), rows), wanted, atol=TOLERANCE)


def test_trailing_padding_adds_no_window(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    rows = random_rows(checkpoint, [40, 41, 5])
    padded = [row + [0] * extra for row, extra in zip(rows, (100, 33, 36), strict=True)]
    np.testing.assert_allclose(
        run_rows(session, padded), long_row_logits(model, rows, POSITIONS), atol=TOLERANCE
    )


def test_padding_ids_and_unknown_ids_inside_a_long_row_are_tokens(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    row = random_rows(checkpoint, [120])[0]
    row[38:42] = [0, 0, -7, 2**40]
    read = [checkpoint.unk_token_id if not 0 <= each < checkpoint.config.vocab_size else each for each in row]
    wanted = long_row_logits(model, [read], POSITIONS)
    np.testing.assert_allclose(run_rows(session, [row]), wanted, atol=TOLERANCE)


def test_a_row_beyond_the_longest_is_cut_and_harms_no_other(
    checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    long, short = random_rows(checkpoint, [MAX_TOKENS + 50, 5])
    wanted = long_row_logits(model, [long[:MAX_TOKENS], short], POSITIONS)
    np.testing.assert_allclose(run_rows(session, [long, short]), wanted, atol=TOLERANCE)


@pytest.mark.parametrize("hollow", [[0, 0, 0], []], ids=["all pad", "empty"])
def test_a_hollow_row_beside_a_long_one_reads_nothing_of_it(
    hollow: list[int], checkpoint: Checkpoint, session: InferenceSession, model: torch.nn.Module
) -> None:
    long = random_rows(checkpoint, [130])[0]
    wanted = long_row_logits(model, [long, [0], long], POSITIONS)
    np.testing.assert_allclose(run_rows(session, [long, hollow, long]), wanted, atol=TOLERANCE)


def test_a_short_rows_logits_are_its_windows_bit_by_bit(checkpoint: Checkpoint) -> None:
    session = open_session(with_outputs(build_fp32(checkpoint), ["windows.logits"]), threads=1)
    rows = random_rows(checkpoint, LENGTHS)
    counts = [len(windows_by_hand(row, POSITIONS)) for row in rows]
    of_windows = np.split(run_rows(session, rows, "windows.logits"), np.cumsum(counts)[:-1])
    logits = run_rows(session, rows)
    for row, count, own in zip(logits, counts, of_windows, strict=True):
        assert len(own) == count
        if count == 1:
            np.testing.assert_array_equal(row, own[0])


def test_a_short_row_gives_the_same_bits_where_windows_are_cut(
    checkpoint: Checkpoint, session: InferenceSession
) -> None:
    rows = [*random_rows(checkpoint, [1, 2, 7, 39, POSITIONS]), []]
    for row in rows:
        stretched = [*row, *[0] * (POSITIONS + 1 - len(row))]
        np.testing.assert_array_equal(run_rows(session, [stretched]), run_rows(session, [row]))


def test_the_model_says_how_it_cuts_and_what_it_drops(session: InferenceSession) -> None:
    said = session.get_modelmeta().custom_metadata_map
    assert said == {"window_tokens": "40", "max_tokens": "4096", "padding_id": "0"}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_read_long_rows_as_the_mean_of_their_windows(
    precision: str, checkpoint: Checkpoint
) -> None:
    model = emulate_half(build_fp16(checkpoint)) if precision == "fp16" else build_int8(checkpoint)
    session = open_session(model, threads=1)
    rows = random_rows(checkpoint, LENGTHS)
    windows = [windows_by_hand(row, POSITIONS) for row in rows]
    means = [np.concatenate([run_rows(session, [each]) for each in own]).mean(axis=0) for own in windows]
    np.testing.assert_allclose(run_rows(session, rows), means, atol=2e-5)
