"""`benchmarks.accuracy`: every way of reading long texts, against transformers on parts cut by hand."""

import csv
import random
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tokenizers import Tokenizer

from benchmarks import accuracy
from tests.export.oracle import long_row_logits, torch_logits, torch_model
from tests.synthetic import WORDS
from training.long_texts import HEAD, HEAD_TAIL, WINDOWS


@pytest.fixture(scope="module")
def texts() -> list[str]:
    choose = random.Random(3)
    return [" ".join(choose.choices(WORDS.split(), k=size)) for size in (5, 30, 600, 520, 12, 900, 1100, 8)]


def test_long_texts_are_judged_by_what_each_way_reads(
    texts: list[str], tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    rows, model = [tokenizer.encode(text).ids for text in texts], torch_model(tiny_checkpoint)
    parts = {
        HEAD: [row if len(row) <= 512 else [*row[:511], row[-1]] for row in rows],
        HEAD_TAIL: [row if len(row) <= 512 else [*row[:129], *row[-383:]] for row in rows],
    }
    wanted = {way: torch_logits(model, cut).argmax(axis=1) for way, cut in parts.items()}
    wanted[WINDOWS] = long_row_logits(model, rows, 512).argmax(axis=1)
    truth = np.array([0, 1] * 4)
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, truth, strict=True)])
    monkeypatch.setattr(accuracy, "console", Console(width=150, record=True))
    accuracy.main(tmp_path / "data.csv", tiny_checkpoint)
    printed = accuracy.console.export_text()
    for way, found in wanted.items():
        line = next(line for line in printed.splitlines() if f"│ {way} " in line)
        assert f"│ {(found == truth)[[2, 3, 5, 6]].mean():.4f} (" in line
        assert f"│ {(found == truth).mean():.4f} (" in line
    assert "513 to 768" in printed
    assert "over 1024" in printed
