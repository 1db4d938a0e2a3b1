"""NB-SVM: a linear classifier on word n-grams scaled by naive Bayes log-count ratios.

It is the cheap teacher of `training/distill.py` (its n-grams are in `ngrams.py`), and a baseline.
Source: Wang and Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification".

    logits = LinearNbSvm().fit(features, labels, num_labels=2).decision(others)
    unseen = out_of_fold(features, labels, num_labels=2)        # [texts, labels]
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

FloatArray = NDArray[np.float64]


def log_count_ratio(features: csr_matrix, positive: NDArray[np.bool_], smoothing: float = 1.0) -> FloatArray:
    """Naive Bayes weight of each feature, r = log((p / |p|) / (q / |q|)).

    `features`: [texts, features] 0/1 presence. `positive`: [texts]. Returns r: [features] float64.
    """
    p = smoothing + np.asarray(features[positive].sum(axis=0)).ravel()
    q = smoothing + np.asarray(features[~positive].sum(axis=0)).ravel()
    return np.log(p / p.sum()) - np.log(q / q.sum())


@dataclass
class LinearNbSvm:
    """One-against-rest NB-SVM on ready-made features; `fit` before `decision`."""

    strength: float = 10.0
    seed: int = 17
    ratios: list[FloatArray] = field(default_factory=list)
    models: list[LogisticRegression] = field(default_factory=list)

    def fit(self, features: csr_matrix, labels: NDArray[np.int64], num_labels: int) -> LinearNbSvm:
        """Fit on `features` [texts, features] and integer `labels` [texts]; two labels need one model."""
        targets = [1] if num_labels == 2 else range(num_labels)
        self.ratios = [log_count_ratio(features, labels == target) for target in targets]
        self.models = [
            LogisticRegression(C=self.strength, solver="liblinear", dual=True, random_state=self.seed).fit(
                features.multiply(ratio).tocsr(), labels == target
            )
            for target, ratio in zip(targets, self.ratios, strict=True)
        ]
        return self

    def decision(self, features: csr_matrix) -> FloatArray:
        """Logits [texts, labels] float64; for two labels the columns are (-z / 2, z / 2)."""
        columns = [
            model.decision_function(features.multiply(ratio).tocsr())
            for model, ratio in zip(self.models, self.ratios, strict=True)
        ]
        if len(columns) == 1:
            return np.stack([-columns[0] / 2, columns[0] / 2], axis=1)
        return np.stack(columns, axis=1)


def out_of_fold(
    features: csr_matrix, labels: NDArray[np.int64], num_labels: int, folds: int = 5, seed: int = 17
) -> FloatArray:
    """Logits [texts, labels]; those of a text come from a model that was not trained on it."""
    logits = np.zeros((features.shape[0], num_labels))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fitted, held_out in splitter.split(np.zeros(len(labels)), labels):
        model = LinearNbSvm(seed=seed).fit(features[fitted], labels[fitted], num_labels)
        logits[held_out] = model.decision(features[held_out])
    return logits
