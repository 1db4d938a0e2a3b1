"""What is minimised: the distance to a teacher's logits, and cross-entropy with weights for rare labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLIP = 3.0


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against softmax(targets), plus 0.04 squared error of centred logits clipped at 3.

    For two labels the second part is 0.02 (z - t)^2 of the logit differences clipped at 6.
    """
    logits = logits.float()
    entropy = -(targets.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1)
    gap = _centred(logits) - _centred(targets)
    return (entropy + 0.04 * gap.pow(2).sum(dim=1)).mean()


def _centred(logits: Tensor) -> Tensor:
    return (logits - logits.mean(dim=1, keepdim=True)).clamp(-CLIP, CLIP)


def term_loss(predicted: Tensor, terms: Tensor, mask: Tensor) -> Tensor:
    """Squared error of what each token adds: summed over the values, averaged over the tokens of `mask`.

    `predicted`, `terms`: [texts, tokens, values]; `mask`: bool [texts, tokens].
    """
    return (predicted.float() - terms).pow(2).sum(dim=2)[mask].mean()


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weight of each label, n / (labels * count): all labels then weigh the same; 0 where there is no text.

    `counts`: texts of each label. The weights of the texts have mean 1.
    Source: King and Zeng (2001), "Logistic Regression in Rare Events Data"; scikit-learn's "balanced".
    """
    present = counts > 0
    weights = np.zeros(len(counts), np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def positive_weights(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of a label's presence, no / yes: each label's presence then weighs as much as its absence.

    `labels`: zeros and ones [texts, labels]; 1 for a label that all texts or none have.
    Source: `pos_weight` of torch.nn.BCEWithLogitsLoss.
    """
    yes = labels.sum(axis=0)
    no = len(labels) - yes
    return np.where((yes > 0) & (no > 0), no / np.maximum(yes, 1), 1).astype(np.float32)


def weighted_decisions(weights: NDArray[np.float32]) -> Callable[..., Tensor]:
    """A loss for the Trainer, where a text may have several labels: the mean sigmoid cross-entropy of all
    decisions; a label that is present counts `weights` [labels] times."""
    scale = torch.from_numpy(weights)

    def loss(outputs: Mapping[str, Any], labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        total = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels.float(), reduction="sum", pos_weight=scale.to(logits.device)
        )
        # The Trainer counts items of the labels' tensor: decisions, not texts.
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    return loss


def weighted_cross_entropy(weights: NDArray[np.float32]) -> Callable[..., Tensor]:
    """A loss for the Trainer: cross-entropy of each text times its label's weight, over the texts' number.

    `weights` [labels]. Dividing by the number of texts, not by the sum of their weights, keeps the sum over
    small batches that of one large batch.
    """
    scale = torch.from_numpy(weights)

    def loss(outputs: Mapping[str, Any], labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        total = torch.nn.functional.cross_entropy(
            logits, labels, reduction="none", weight=scale.to(logits.device)
        ).sum()
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss
