from pathlib import Path

import numpy as np
import pytest

from benchmarks.load.texts import Review, token_ids
from benchmarks.rivals.in_process import on_each_core, pad, torch_runner


def test_padding_marks_what_is_real() -> None:
    ids, mask = pad([[2, 7, 3], [2, 3]])
    np.testing.assert_array_equal(ids, [[2, 7, 3], [2, 3, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [1, 1, 0]])


def test_textson_each_core_come_back_in_order() -> None:
    run = on_each_core([lambda texts: np.array([[len(texts[0])]])] * 3)
    lengths = [5, 9, 1, 7, 7, 2]
    assert run([[0] * length for length in lengths])[:, 0].tolist() == lengths


def test_torch_runner_gives_the_same_logits_alone_and_padded(bench_checkpoint: Path, texts) -> None:
    run = torch_runner(bench_checkpoint, cores=1)
    ids = token_ids(bench_checkpoint, [Review(text, 0) for text in texts])
    alone = np.concatenate([run([row]) for row in ids])
    assert run(ids) == pytest.approx(alone, abs=1e-4)
