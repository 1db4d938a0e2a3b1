"""Texts to evaluate on are read as serving reads them, and evaluated whole."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, MobileBertForSequenceClassification

from tests.export.oracle import long_row_logits, torch_logits, windows_by_hand
from tests.model_repository.test_tokenization import tokenization
from tests.synthetic import WORDS
from tests.training.test_training_scripts import finetune_options, run, words
from training.data import Examples
from training.distilling import predict_long
from training.evaluation import read_parts
from training.long_texts import HEAD, HEAD_TAIL, WINDOWS, read

LENGTHS = (0, 5, 510, 511, 700, 1020, 1021, 4094, 4095, 6000)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Texts of `LENGTHS` tokens beside [CLS] and [SEP]."""
    choose = random.Random(1)
    return [" ".join(choose.choices(WORDS.split(), k=length)) for length in LENGTHS]


@pytest.mark.parametrize(
    ("way", "limits"),
    [
        (WINDOWS, tokenization.TextLimits()),
        (HEAD, tokenization.TextLimits(max_tokens=512)),
        (HEAD_TAIL, tokenization.TextLimits(truncation="head_tail")),
    ],
)
def test_every_way_reads_what_serving_reads(
    way: str, limits: Any, texts: list[str], base_model: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(base_model / "tokenizer.json"))
    whole = [tokenizer.encode(text).ids for text in texts]
    served = tokenization.load_tokenizer(base_model / "tokenizer.json")
    for ids, row in zip(whole, tokenization.encode(texts, served, limits), strict=True):
        parts = read(ids, way)
        assert len(parts) == row.windows
        assert {(part[0], part[-1]) for part in parts} == {(ids[0], ids[-1])}
        assert [each for part in parts for each in part[1:-1]] == row.ids[1:-1]


def test_logits_of_parts_become_those_of_texts(texts: list[str], base_model: Path) -> None:
    model = MobileBertForSequenceClassification.from_pretrained(base_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    shuffled = [texts[place] for place in (6, 0, 4, 2, 1, 5)]
    labels = np.arange(6) % 3
    parts = read_parts(Examples(shuffled, labels, ("a", "b", "c")), tokenizer, WINDOWS, 512)
    lengths = [len(row) for row in parts.rows["input_ids"]]
    assert lengths == sorted(lengths)
    assert max(lengths) <= 512
    rows = tokenizer(shuffled, verbose=False)["input_ids"]
    wanted = long_row_logits(model, rows, 512)

    found = torch_logits(model, parts.rows["input_ids"])
    np.testing.assert_allclose(parts.logits(found), wanted, atol=1e-5)
    chosen = parts.take([3, 0])
    assert chosen.labels.tolist() == [labels[3], labels[0]]
    of_chosen = np.stack([np.eye(2)[owner] for owner in chosen.owners])
    assert chosen.logits(of_chosen).tolist() == [[1, 0], [0, 1]]


def test_the_loops_logits_are_means_over_windows_too() -> None:
    rows = [np.arange(length) for length in (700, 3, 512, 1300)]
    found = predict_long(
        lambda ids, mask: torch.stack([(ids * mask).sum(1), mask.sum(1)], 1), rows, WINDOWS, half=False
    )
    cut = [windows_by_hand(row.tolist(), 512) for row in rows]
    wanted = [np.mean([[sum(part), len(part)] for part in parts], axis=0) for parts in cut]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.slow
def test_finetune_reports_on_what_stands_beyond_the_cut(tmp_path: Path, base_model: Path) -> None:
    """Trained on short texts; the verdict of the texts reported on stands behind 600 tokens."""
    random_words = random.Random(2)

    def row(word: str, fill: int) -> str:
        text = " ".join([*random_words.choices(["film", "story", "scene"], k=fill), *[word] * 40])
        return json.dumps({"review": text, "verdict": word})

    short = [row(word, 3) for word in ("good", "bad") * 30]
    (tmp_path / "train.jsonl").write_text("\n".join(short))
    (tmp_path / "test.jsonl").write_text("\n".join(row(word, 600) for word in ("good", "bad") * 6))
    options = finetune_options(tmp_path, base_model, tmp_path / "train.jsonl")
    done = run(*words({**options, "epochs": 4, "patience": 4, "test-data": tmp_path / "test.jsonl"}))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "checkpoint/metrics.json").read_text())["report"]
    assert [row["tokens"] for row in report["accuracy_by_length"]] == ["over 512"]
    assert report["accuracy"]["value"] > 0.9, "cut at 512 tokens, the texts are all alike"


def test_a_way_that_there_is_not_is_refused(tmp_path: Path, base_model: Path, reviews: Path) -> None:
    done = run(*words({**finetune_options(tmp_path, base_model, reviews), "long": "middle"}))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: --long middle: it is one of windows, head, head_tail."
