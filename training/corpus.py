"""The texts of a distillation: labelled, held out, unlabelled and test, deduplicated, tokenized once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm
from transformers import AutoTokenizer, MobileBertTokenizer, PreTrainedTokenizerBase

import durable
from training import long_texts
from training.data import (
    DEFAULT_OPTIONS,
    DataError,
    Examples,
    ReadOptions,
    load_examples,
    load_texts,
    without,
)
from training.token_batches import TokenIds

WHOLE = ("held_out", "test")
Tokens = dict[str, list[TokenIds]]


@dataclass(frozen=True)
class Corpus:
    """Labelled texts to train on and held out, texts without labels, and the texts to report on."""

    train: Examples
    held_out: Examples
    unlabelled: list[str]
    test: Examples

    @property
    def size(self) -> int:
        """Number of labels."""
        return len(self.train.names)

    def describe(self, source: str) -> dict[str, Any]:
        """The data section of metrics.json and of the model card."""
        return {
            "source": Path(source).name if Path(source).exists() else source,
            "labelled texts to train on": len(self.train.texts),
            "texts without labels": len(self.unlabelled),
            "labelled texts held out to choose and to calibrate": len(self.held_out.texts),
            "texts reported on": f"{len(self.test.texts)} (test)",
            "labels": ", ".join(self.train.names),
        }


def load_corpus(
    data: str,
    unlabelled: str,
    test_data: str,
    columns: tuple[str, str],
    labels: Sequence[str],
    held_out: int,
    seed: int,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Corpus:
    """Load, check, deduplicate and split. Empty `unlabelled` and `test_data` are splits of `data` on the hub.

    Raises `DataError`.
    """
    test = load_examples(test_data or data, *columns, labels, split="test", options=options)
    labelled = distinct(without(load_examples(data, *columns, labels, options=options), test.texts))
    if labelled.multi_label:
        raise DataError(f"{data}: several labels a text; distillation needs one. See training.finetune.")
    order = np.random.RandomState(seed).permutation(len(labelled.texts))
    free = load_texts(unlabelled or data, columns[0], "unsupervised", options)
    known = {*labelled.texts, *test.texts}
    return Corpus(
        train=labelled.take(order[held_out:]),
        held_out=labelled.take(order[:held_out]),
        unlabelled=[text for text in dict.fromkeys(free) if text not in known],
        test=test,
    )


def distinct(examples: Examples) -> Examples:
    """The texts without repetitions; the first of equal ones stays."""
    first = {text: row for row, text in reversed(list(enumerate(examples.texts)))}
    return examples.take(sorted(first.values()))


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """MobileBERT's tokenizer with the vocabulary of `name`, free of its truncation and padding."""
    vocabulary = AutoTokenizer.from_pretrained(name).get_vocab()
    return MobileBertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=long_texts.POSITIONS)


def tokenize_corpus(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, work: Path) -> Tokens:
    """Token ids of every text; kept in `work`/tokens.npz.

    Texts to train on are right-truncated at 512; those to report on are whole, up to 4,096.
    """
    texts = {
        "train": corpus.train.texts,
        "held_out": corpus.held_out.texts,
        "unlabelled": corpus.unlabelled,
        "test": corpus.test.texts,
    }

    def encode() -> dict[str, NDArray[Any]]:
        flat: dict[str, NDArray[Any]] = {}
        for name, items in texts.items():
            parts = range(0, len(items), 1000)
            most = long_texts.MAX_TOKENS if name in WHOLE else long_texts.POSITIONS
            ids = [
                row for i in tqdm(parts, desc=name) for row in _encode(tokenizer, items[i : i + 1000], most)
            ]
            flat[name] = np.concatenate(ids).astype(np.int32)
            flat[f"{name}_lengths"] = np.array([len(row) for row in ids])
        return flat

    stored = computed_once(work / "tokens.npz", encode)
    return {name: _split(stored[name], stored[f"{name}_lengths"]) for name in texts}


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> list[list[int]]:
    return tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]


def _split(flat: NDArray[Any], lengths: NDArray[Any]) -> list[TokenIds]:
    return np.split(flat.astype(np.int64), np.cumsum(lengths)[:-1])


def computed_once(path: Path, compute: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays in `path`; computed and written, whole, if it is not there."""
    if not path.exists():
        arrays = compute()
        with durable.replacing(path) as beside:
            np.savez(beside, **arrays)  # type: ignore[arg-type]
    with np.load(path) as stored:
        return dict(stored)
