"""A tiny base model and small data files, so that training tests need neither the hub nor the reviews."""

import csv
from pathlib import Path

import pytest

from tests.synthetic import write_checkpoint

GOOD = ("great", "good", "love", "best", "well")
BAD = ("bad", "not", "little", "no", "never")


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer MobileBERT of random weights with a tokenizer, three labels."""
    return write_checkpoint(tmp_path_factory.mktemp("base") / "model", layers=1, labels=3)


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 48 short reviews, columns review and verdict, three labels."""
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = []
    for number in range(48):
        kind = ("bad", "fine", "good")[number % 3]
        word = {"bad": BAD, "fine": ("other",) * 5, "good": GOOD}[kind][number % 5]
        rows.append({"review": f"the film is {word} , {word} story {number}", "verdict": kind})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["review", "verdict"])
        writer.writeheader()
        writer.writerows(rows)
    return path
