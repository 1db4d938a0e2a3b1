"""Texts to evaluate on, read as serving reads them: long ones in windows, or cut.

held_out = read_parts(examples, tokenizer, "windows", 512)
logits = held_out.logits(of_parts)      # [texts, labels], from those of held_out.rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Trainer

from training.data import Examples
from training.long_texts import mean_logits, read


@dataclass(frozen=True)
class Parts:
    """`rows` of `input_ids`, `attention_mask` and `labels`, one a part, shortest first.

    `owners` int64 [parts]: the text of each; `labels` [texts, ...].
    """

    rows: datasets.Dataset
    owners: NDArray[np.int64]
    labels: NDArray[Any]

    def logits(self, of_parts: NDArray[Any]) -> NDArray[Any]:
        """[texts, labels], from those of the parts."""
        order = self.owners.argsort(kind="stable")
        return mean_logits(of_parts[order], np.bincount(self.owners).tolist())

    def take(self, texts: Sequence[int]) -> Parts:
        """The parts of these texts, which are then numbered in this order."""
        place = np.full(len(self.labels), -1)
        place[np.asarray(texts, np.int64)] = np.arange(len(texts))
        kept = np.flatnonzero(place[self.owners] >= 0)
        return Parts(
            self.rows.select(kept), place[self.owners[kept]], self.labels[np.asarray(texts, np.int64)]
        )


def read_parts(examples: Examples, tokenizer: PreTrainedTokenizerBase, way: str, positions: int) -> Parts:
    """The examples' texts, read in one of `long_texts.WAYS`; `positions`: tokens of a part at most."""
    texts = tokenizer(examples.texts, verbose=False)["input_ids"]
    parts = [(part, text) for text, ids in enumerate(texts) for part in read(ids, way, positions)]
    parts.sort(key=lambda each: len(each[0]))
    owners = np.array([text for _, text in parts], np.int64)
    ids = [part for part, _ in parts]
    rows = {
        "input_ids": ids,
        "attention_mask": [[1] * len(part) for part in ids],
        "labels": examples.labels[owners].tolist(),
    }
    return Parts(datasets.Dataset.from_dict(rows), owners, examples.labels)


class PartsTrainer(Trainer):
    """Evaluates in the order of the rows: by that order each part belongs to its text."""

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """The rows one after another; Trainer's own groups them by length, as in training."""
        rows: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        loader = DataLoader(rows, batch_size=self.args.eval_batch_size, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)
