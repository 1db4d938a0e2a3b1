"""What is sent: real texts in three length distributions (short, IMDB's own, worst case of 512 tokens).

Reviews come from IMDB's test set where IMDB_DATA names its folder, otherwise from the texts that ship with
the checkpoint (golden.jsonl), joined to lengths that follow IMDB's; `Texts.source` says which.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from benchmarks.errors import BenchmarkError
from benchmarks.paths import imdb_folder
from export.checkpoint.reading import GOLDEN_FILE

POSITIONS = 512  # tokens of a text, at most: what contestants that read no second window see
LENGTHS = ("short", "imdb", "worst")
STRATA = 8
_SEED = 20240801
# Tokens a review, specials included: the 1/16, 3/16 ... 15/16 quantiles of IMDB's test set, cut at 512.
IMDB_QUANTILES = (90, 153, 179, 209, 256, 319, 437, 512)
# Words of texts for which only the length matters.
WORDS = (
    "a",
    "film",
    "plot",
    "was",
    "not",
    "good",
    "and",
    "I",
    "would",
    "never",
    "watch",
    "unforgettable",
    "!",
)


@dataclass(frozen=True)
class Review:
    """One text, the tokens that the model sees of it (at most 512, specials included), its label if known."""

    text: str
    tokens: int
    label: int | None = None


@dataclass(frozen=True)
class Texts:
    """The reviews of every length distribution, in the order in which every contestant gets them."""

    by_length: dict[str, list[Review]]
    source: str

    def mean_tokens(self, length: str) -> float:
        """Tokens of an average text of this distribution."""
        reviews = self.by_length[length]
        return sum(review.tokens for review in reviews) / len(reviews)


class Encoder:
    """Token ids as the served tokenizer gives them, specials included; of the first 512 tokens."""

    def __init__(self, checkpoint: Path) -> None:
        path = checkpoint / "tokenizer.json"
        if not path.is_file():
            raise BenchmarkError(f"{path} is missing: name a checkpoint folder with --checkpoint")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.enable_truncation(POSITIONS)
        self._tokenizer.no_padding()

    def cut(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """Texts that end where 512 tokens end, so that every contestant reads the same; and their tokens."""
        encodings = self._tokenizer.encode_batch(list(texts))
        return [
            (text[: each.offsets[-2][1]] if each.overflowing else text, len(each))
            for text, each in zip(texts, encodings, strict=True)
        ]

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


def first_sentence(text: str) -> str:
    """The first sentence of a review, without its HTML line breaks."""
    plain = re.sub(r"<[^>]*>", " ", text)
    return re.split(r"(?<=[.!?])\s", plain.strip(), maxsplit=1)[0][:300]


def in_balanced_order(reviews: Sequence[Review]) -> list[Review]:
    """Put one text of each length octile into every eight neighbours, so that short windows compare."""
    generator = random.Random(_SEED)
    ranked = sorted(reviews, key=lambda review: review.tokens)
    rows = len(ranked) // STRATA
    strata = [ranked[i * rows : (i + 1) * rows] for i in range(STRATA)]
    for stratum in strata:
        generator.shuffle(stratum)
    blocks = [list(block) for block in zip(*strata, strict=True)]
    for block in blocks:
        generator.shuffle(block)
    return [review for block in blocks for review in block]


def read_texts(checkpoint: Path, count: int) -> Texts:
    """``count`` texts (a multiple of 8) of each length distribution, the same on every run.

    Raises:
        BenchmarkError: neither IMDB_DATA nor the checkpoint's golden.jsonl has texts.
    """
    folder, encode = imdb_folder(), Encoder(checkpoint)
    reviews, labels = _imdb(folder, 4 * count) if folder else _shipped(checkpoint, 4 * count)
    source = "IMDB's test set" if folder else "texts that ship with the checkpoint, joined to IMDB's lengths"
    worst = [" ".join([text] * 20)[:4000] for text in reviews]
    made = {
        "short": _reviews(encode, [first_sentence(text) for text in reviews], labels),
        "imdb": _reviews(encode, reviews, labels),
        "worst": [r for r in _reviews(encode, worst, labels) if r.tokens == POSITIONS],
    }
    return Texts({name: in_balanced_order(made[name][:count]) for name in LENGTHS}, source)


def long_review(tokens: int = 4096) -> Review:
    """A text of so many tokens, specials included, which is read in windows. Its words mean nothing."""
    return Review(" ".join(["good"] * (tokens - 2)), tokens)


def bulk_reviews(checkpoint: Path, count: int) -> list[Review]:
    """``count`` reviews for bulk scoring; they repeat where fewer are at hand."""
    folder = imdb_folder()
    texts, labels = _imdb(folder, count, "train") if folder else _shipped(checkpoint, min(count, 512))
    found = _reviews(Encoder(checkpoint), texts, labels)
    return [found[i % len(found)] for i in range(count)]


def token_ids(checkpoint: Path, reviews: Sequence[Review]) -> list[list[int]]:
    """The ids of each review, unpadded."""
    return Encoder(checkpoint)([review.text for review in reviews])


def _reviews(encode: Encoder, texts: Sequence[str], labels: Sequence[int | None]) -> list[Review]:
    return [Review(*cut, label) for cut, label in zip(encode.cut(texts), labels, strict=True)]


def _imdb(folder: Path, count: int, split: str = "test") -> tuple[list[str], list[int | None]]:
    table = pq.read_table(folder / f"{split}.parquet", columns=["text", "label"]).to_pydict()
    order = list(range(len(table["text"])))
    random.Random(_SEED).shuffle(order)
    return [table["text"][i] for i in order[:count]], [table["label"][i] for i in order[:count]]


def _shipped(checkpoint: Path, count: int) -> tuple[list[str], list[int | None]]:
    path = checkpoint / GOLDEN_FILE
    if not path.is_file():
        raise BenchmarkError(
            "no texts: set IMDB_DATA to IMDB's folder, or take a checkpoint with golden.jsonl"
        )
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    # Words of Latin script only: other scripts fall into single-letter tokens and distort the lengths.
    words = [word for line in lines for word in line["text"].split() if word.isascii()]
    generator = random.Random(_SEED)
    return [_joined(words, IMDB_QUANTILES[i % STRATA], generator) for i in range(count)], [None] * count


def _joined(words: Sequence[str], tokens: int, generator: random.Random) -> str:
    start = generator.randrange(len(words))
    wanted = int(tokens / 1.2)  # English has about 1.2 tokens a word
    return " ".join(words[(start + i) % len(words)] for i in range(wanted))


def row_of(length: int, vocabulary: int) -> list[int]:
    """Random ids between [CLS] and [SEP]."""
    inner = np.random.default_rng(length).integers(1000 % vocabulary, vocabulary, length - 2)
    return [101 % vocabulary, *inner.tolist(), 102 % vocabulary]
