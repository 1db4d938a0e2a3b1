"""The two teachers of `distill.py`: NB-SVM on n-grams of tokens, and a small pretrained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from transformers import AutoModel

from training.corpus import Tokens
from training.loops import FloatArray
from training.metrics import temperature
from training.nbsvm import out_of_fold
from training.ngrams import NgramTeacher
from training.student import mean_pool
from training.token_batches import TokenIds

LARGEST_SHARE = 0.99


def ngram_logits(teacher: NgramTeacher, tokens: Tokens, labels: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Calibrated logits [texts, labels] of the fitted n-gram `teacher`, by the name of the texts.

    On `train`, whose `labels` these are, they are out-of-fold, and give the temperature.
    """
    features = teacher.features(tokens["train"])
    folded = out_of_fold(features, labels, int(labels.max()) + 1, seed=teacher.seed)
    scale = 1 / temperature(folded, labels)
    others = {name: teacher.logits(texts) for name, texts in tokens.items() if name != "train"}
    return {name: (scale * values).astype(np.float32) for name, values in {"train": folded, **others}.items()}


def scaled_terms(teacher: NgramTeacher, texts: Sequence[TokenIds]) -> NDArray[np.float16]:
    """What every token of `texts` adds to the teacher's logit, one text after the other: [tokens, values].

    Scaled so that the sums of a token's values have a standard deviation of 1.
    """
    terms = np.concatenate(teacher.terms(texts)).astype(np.float32)
    return (terms / (terms.sum(axis=1).std() or 1.0)).astype(np.float16)


def by_text(values: NDArray[Any], texts: Sequence[TokenIds]) -> list[NDArray[Any]]:
    """`values` [tokens, values] cut into one array a text."""
    return np.split(values, np.cumsum([len(text) for text in texts])[:-1])


class PooledEncoder(nn.Module):
    """A pretrained encoder, the mean of its last hidden states, and a linear head that starts at zero."""

    def __init__(self, name: str, num_labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            name, attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0, dtype=torch.float32
        )
        # Half of the weights: a step without them is a quarter shorter.
        self.encoder.get_input_embeddings().requires_grad_(False)
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
    """Shorten to `tokens` by leaving out the middle: reviews judge at the beginning or at the end."""
    return text if len(text) <= tokens else np.concatenate([text[: tokens // 2], text[-(tokens // 2) :]])


def soft_labels(teacher: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """Half the label, half the teacher, as logits; no label gets more than 0.99."""
    hard = np.eye(teacher.shape[1])[labels]
    mixed = (softmax(teacher, axis=1) + hard) / 2
    smallest = (1 - LARGEST_SHARE) / (teacher.shape[1] - 1)
    return np.log(mixed.clip(smallest, LARGEST_SHARE)).astype(np.float32)


def pair(first: FloatArray, second: FloatArray, weight: float) -> FloatArray:
    """The mean of two teachers' calibrated logits [texts, labels]; `weight`, 0 to 1, is the second's."""
    return ((1 - weight) * first + weight * (second - second.mean(axis=1, keepdims=True))).astype(np.float32)


def hard_targets(labels: NDArray[np.int64], num_labels: int) -> FloatArray:
    """Logits of 0.97 for the label and the rest shared: the target of a teacher's own fine-tuning."""
    shares = np.full((len(labels), num_labels), 0.03 / (num_labels - 1))
    shares[np.arange(len(labels)), labels] = 0.97
    return log_softmax(np.log(shares), axis=1).astype(np.float32)
