"""The two teachers of `distill.py`: NB-SVM on n-grams, and a small pretrained encoder with mean pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from transformers import AutoModel

from training.batching import TokenIds
from training.data import Examples
from training.loops import FloatArray
from training.metrics import temperature
from training.nbsvm import LinearNbSvm, ngram_vectorizer, out_of_fold
from training.student import mean_pool

LARGEST_SHARE = 0.99


def nbsvm_logits(
    train: Examples, held_out: Sequence[str], unlabelled: Sequence[str], test: Sequence[str], seed: int
) -> dict[str, FloatArray]:
    """Calibrated logits [texts, labels] of NB-SVM fitted on `train`, by the name of the argument.

    On `train` they are out-of-fold, and give the temperature.
    """
    vectorizer = ngram_vectorizer()
    features = vectorizer.fit_transform(train.texts)
    num_labels = len(train.names)
    folded = out_of_fold(features, train.labels, num_labels, seed=seed)
    model = LinearNbSvm(seed=seed).fit(features, train.labels, num_labels)
    scale = 1 / temperature(folded, train.labels)
    logits = {"train": folded}
    for name, texts in (("held_out", held_out), ("unlabelled", unlabelled), ("test", test)):
        logits[name] = model.decision(vectorizer.transform(texts))
    return {name: (scale * values).astype(np.float32) for name, values in logits.items()}


class PooledEncoder(nn.Module):
    """A pretrained encoder, the mean of its last hidden states, and a linear head that starts at zero."""

    def __init__(self, name: str, num_labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            name, attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0, dtype=torch.float32
        )
        self.head = nn.Linear(self.encoder.config.hidden_size, num_labels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Logits [texts, labels] of ids and mask [texts, tokens]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
        return self.head(mean_pool(hidden, mask))


def word_vectors(name: str) -> FloatArray:
    """The word embeddings [words, width] of a pretrained encoder."""
    return AutoModel.from_pretrained(name, dtype=torch.float32).get_input_embeddings().weight.detach().numpy()


def both_ends(text: TokenIds, tokens: int) -> TokenIds:
    """Shorten to `tokens` by leaving out the middle: a review's verdict is at either end."""
    return text if len(text) <= tokens else np.concatenate([text[: tokens // 2], text[-(tokens // 2) :]])


def least_certain(logits: FloatArray, count: int) -> NDArray[np.int64]:
    """The `count` rows with the smallest margin between the two best labels, least certain first."""
    best = np.sort(logits, axis=1)
    return np.argsort(best[:, -1] - best[:, -2], kind="stable")[:count]


def soft_labels(teacher: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """Half the label, half the teacher, as logits; no label gets more than 0.99."""
    hard = np.eye(teacher.shape[1])[labels]
    mixed = (softmax(teacher, axis=1) + hard) / 2
    smallest = (1 - LARGEST_SHARE) / (teacher.shape[1] - 1)
    return np.log(mixed.clip(smallest, LARGEST_SHARE)).astype(np.float32)


def pair(first: FloatArray, second: FloatArray, rows: NDArray[np.int64], weight: float) -> FloatArray:
    """`first` [texts, labels]; on `rows`, plus `weight` times `second` [rows, labels]."""
    combined = first.copy()
    combined[rows] = first[rows] + weight * (second - second.mean(axis=1, keepdims=True))
    return combined


def hard_targets(labels: NDArray[np.int64], num_labels: int) -> FloatArray:
    """Logits of 0.97 for the label and the rest shared: the target of a teacher's own fine-tuning."""
    shares = np.full((len(labels), num_labels), 0.03 / (num_labels - 1))
    shares[np.arange(len(labels)), labels] = 0.97
    return log_softmax(np.log(shares), axis=1).astype(np.float32)
