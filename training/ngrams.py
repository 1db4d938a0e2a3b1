"""NB-SVM on n-grams of token ids: a teacher that says what each token adds, not only what a text is.

A linear model's logit is a sum over the n-grams of a text. Cut into its terms, it gives a student one target
a token instead of one a text; and a MobileBERT's trigram input sees exactly the n-grams that a term depends
on: the token, its pairs with either neighbour, and the three together.

    teacher = NgramTeacher(vocabulary=30522).fit(texts, labels, num_labels=2)
    teacher.logits(texts)           # [texts, labels]
    teacher.terms(texts)            # a [tokens, 3] a text: by unigram, bigrams and trigram
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.nbsvm import LinearNbSvm
from training.token_batches import TokenIds

ORDERS = 3
FloatArray = NDArray[np.float32]
Keys = NDArray[np.int64]


def ngram_keys(text: TokenIds, vocabulary: int, order: int) -> Keys:
    """A number for each n-gram of `order` 1 to 3, from left to right: int64 [tokens - order + 1].

    key = sum_i (id_i + 1) * (vocabulary + 1)^i, so that n-grams of different orders never share a key.
    """
    digits = np.asarray(text, np.int64) + 1
    count = max(0, len(digits) - order + 1)
    keys = np.zeros(count, np.int64)
    for place in range(order):
        keys = keys * (vocabulary + 1) + digits[place : place + count]
    return keys


@dataclass
class NgramTeacher:
    """NB-SVM on the presence of uni-, bi- and trigrams that occur in at least `min_count` texts."""

    vocabulary: int
    min_count: int = 2
    seed: int = 17
    keys: Keys = field(default_factory=lambda: np.zeros(0, np.int64))
    model: LinearNbSvm = field(default_factory=LinearNbSvm)

    def fit(self, texts: Sequence[TokenIds], labels: NDArray[np.int64], num_labels: int) -> NgramTeacher:
        """Learn the n-grams and their weights from `texts` and `labels` [texts]."""
        every, counts = np.unique(
            np.concatenate([self._distinct(text) for text in texts]), return_counts=True
        )
        self.keys = every[counts >= self.min_count]
        self.model = LinearNbSvm(seed=self.seed).fit(self.features(texts), labels, num_labels)
        return self

    def features(self, texts: Sequence[TokenIds]) -> csr_matrix:
        """Presence [texts, n-grams] of the known n-grams."""
        known = [self._places(self._distinct(text)) for text in texts]
        columns = [places[places >= 0] for places in known]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
        ones = np.ones(starts[-1], np.float32)
        shape = (len(texts), len(self.keys))
        return csr_matrix((ones, np.concatenate(columns), starts), shape=shape)

    def logits(self, texts: Sequence[TokenIds]) -> NDArray[np.float64]:
        """Logits [texts, labels]; for two labels (-z / 2, z / 2)."""
        return self.model.decision(self.features(texts))

    def terms(self, texts: Sequence[TokenIds]) -> list[NDArray[np.float16]]:
        """What the tokens of each text add to the logit: [tokens, 3 * models], a group of 3 a model.

        The three are the token's unigram, half of its pairs with either neighbour, and the three together.
        They add up to the logit, less the bias, when no n-gram occurs twice.
        """
        weights = [
            ratio * model.coef_[0] for ratio, model in zip(self.model.ratios, self.model.models, strict=True)
        ]
        return [self._terms(text, weights) for text in texts]

    def _terms(self, text: TokenIds, weights: Sequence[NDArray[np.float64]]) -> NDArray[np.float16]:
        values = np.zeros((len(text), ORDERS * len(weights)), np.float16)
        places = [self._places(ngram_keys(text, self.vocabulary, order + 1)) for order in range(ORDERS)]
        for group, weight in enumerate(weights):
            one, two, three = (np.where(found >= 0, weight[found], 0) for found in places)
            values[:, ORDERS * group] = one
            values[:-1, ORDERS * group + 1] += two / 2
            values[1:, ORDERS * group + 1] += two / 2
            values[1:-1, ORDERS * group + 2] = three
        return values

    def _distinct(self, text: TokenIds) -> Keys:
        return np.unique(
            np.concatenate([ngram_keys(text, self.vocabulary, order + 1) for order in range(ORDERS)])
        )

    def _places(self, keys: Keys) -> Keys:
        """Index of each key, or -1."""
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)
