"""The shipped checkpoint on real reviews: exported logits against torch's, in every kind of batch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.gate.check import check_golden
from export.graph.running import open_session, run_rows
from export.precision.emulation import emulate_half
from export.precision.fp16 import build_fp16
from export.precision.fp32 import build_fp32
from export.precision.int8 import build_int8
from export.precision.registry import BUILDER_MODULES, builder
from tests.export.oracle import long_row_logits, torch_model
from tests.reviews import ROOT, load_reviews, reference

SHIPPED = ROOT / "checkpoints" / "mobilebert-imdb"
REVIEWS = 500

pytestmark = pytest.mark.skipif(not SHIPPED.exists(), reason="no trained checkpoint in checkpoints/")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(SHIPPED)


@pytest.fixture(scope="module")
def oracle() -> tuple[list[list[int]], NDArray[np.float32]]:
    """Ids of 500 reviews and torch's logits; every third review is cut short, so that lengths are mixed."""
    texts = [text[: len(text) // 20] if i % 3 == 0 else text for i, text in enumerate(load_reviews(REVIEWS))]
    return reference(SHIPPED, texts)


@pytest.fixture(scope="module")
def rows(oracle: tuple[list[list[int]], NDArray[np.float32]]) -> list[list[int]]:
    return oracle[0]


@pytest.fixture(scope="module")
def wanted(oracle: tuple[list[list[int]], NDArray[np.float32]]) -> NDArray[np.float32]:
    return oracle[1]


def run_batches(session: object, rows: list[list[int]], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    bounds = np.cumsum(sizes)
    batches = [rows[start:stop] for start, stop in zip([0, *bounds[:-1]], bounds, strict=True)]
    return np.concatenate([run_rows(session, batch) for batch in batches if batch])


@pytest.mark.slow
def test_logits_of_500_reviews_equal_torchs_alone_and_in_random_batches(
    checkpoint: Checkpoint, rows: list[list[int]], wanted: NDArray[np.float32]
) -> None:
    lengths = [len(row) for row in rows]
    assert len(rows) == REVIEWS
    assert min(lengths) < 30
    assert max(lengths) > 512
    session = open_session(build_fp32(checkpoint), threads=1)
    generator = np.random.default_rng(0)
    for sizes in (np.ones(REVIEWS, dtype=int), generator.multinomial(REVIEWS, np.full(60, 1 / 60))):
        np.testing.assert_allclose(run_batches(session, rows, sizes), wanted, atol=1e-4)


@pytest.mark.slow
def test_half_precision_as_a_gpu_computes_it_gives_the_same_labels(
    checkpoint: Checkpoint, rows: list[list[int]], wanted: NDArray[np.float32]
) -> None:
    session = open_session(emulate_half(build_fp16(checkpoint)), threads=1)
    logits = run_batches(session, rows, np.full(REVIEWS // 5, 5))
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.999


def test_the_shipped_golden_texts_come_from_the_shipped_weights(checkpoint: Checkpoint) -> None:
    assert len(checkpoint.golden) >= 30
    model = torch_model(SHIPPED)
    for text in [*checkpoint.golden[::6], *checkpoint.golden[-4:]]:
        wanted = long_row_logits(model, [text.input_ids], 512)[0]
        np.testing.assert_allclose(wanted, text.logits, atol=1e-5)


def test_the_shipped_golden_texts_hold_long_ones(checkpoint: Checkpoint) -> None:
    lengths = [len(text.input_ids) for text in checkpoint.golden]
    assert {513, 1000, 4000, 4096} <= set(lengths)
    assert [len(text.input_ids) for text in checkpoint.golden if text.truncated] == [4096]


LONG_REVIEWS = 200


@pytest.mark.slow
def test_200_long_reviews_equal_torchs_windows_alone_and_among_short_ones(checkpoint: Checkpoint) -> None:
    every = load_reviews(8000, seed=1)
    texts = [text for text in every if len(text) > 3300][: LONG_REVIEWS + 40]
    ids, wanted = reference(SHIPPED, [*texts, *[text[:500] for text in every[:100]]])
    long = [number for number, row in enumerate(ids) if len(row) > 512]
    assert len(long) >= LONG_REVIEWS
    session = open_session(build_fp32(checkpoint), threads=1)
    alone = np.concatenate([run_rows(session, [ids[number]]) for number in long])
    np.testing.assert_allclose(alone, wanted[long], atol=1e-4)
    order = np.random.default_rng(2).permutation(len(ids))
    for start in range(0, len(order), 8):
        members = order[start : start + 8]
        np.testing.assert_allclose(
            run_rows(session, [ids[number] for number in members]), wanted[members], atol=1e-4
        )


@pytest.mark.slow
def test_int8_agrees_on_labels_alone_and_in_batches(
    checkpoint: Checkpoint, rows: list[list[int]], wanted: NDArray[np.float32]
) -> None:
    session = open_session(build_int8(checkpoint), threads=1)
    alone = run_batches(session, rows, np.ones(REVIEWS, dtype=int))
    together = run_batches(session, rows, np.full(REVIEWS // 5, 5))
    for logits in (alone, together):
        assert (logits.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.985
    probabilities = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (alone, together)]
    assert np.abs(probabilities[0] - probabilities[1]).max() <= 0.005
    assert (alone != wanted).any()


@pytest.mark.parametrize("precision", BUILDER_MODULES)
def test_the_shipped_checkpoint_passes_the_gate(checkpoint: Checkpoint, precision: str) -> None:
    report = check_golden(builder(precision)(checkpoint), precision, checkpoint)
    assert report is not None
    report.raise_if_violated()
