"""Balanced weights against scikit-learn; the weighted loss against torch's own."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from training.data import Examples
from training.fitting import check_class_weights, loss_function
from training.losses import balanced_weights, positive_weights, term_loss, weighted_cross_entropy
from training.tables import DataError

LABELS = np.array([0] * 90 + [1] * 8 + [2] * 2)


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(balanced_weights(np.bincount(LABELS)), expected, rtol=1e-6)


def test_a_label_without_texts_weighs_nothing_and_changes_no_other() -> None:
    np.testing.assert_allclose(balanced_weights(np.array([90, 0, 10])), [100 / 180, 0, 5], rtol=1e-6)


def test_the_weighted_loss_is_the_mean_of_weighted_texts() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(100, 3, generator=generator), torch.from_numpy(LABELS)
    weights = balanced_weights(np.bincount(LABELS))
    expected = torch.nn.functional.cross_entropy(
        logits, labels, weight=torch.from_numpy(weights)
    )  # weights sum to n
    loss = weighted_cross_entropy(weights)
    torch.testing.assert_close(loss({"logits": logits}, labels), expected)
    halves = [loss({"logits": logits[rows]}, labels[rows], 100) for rows in (slice(0, 50), slice(50, 100))]
    torch.testing.assert_close(sum(halves), expected)


def test_no_weights_leave_the_models_own_loss() -> None:
    assert loss_function(Examples(["a", "b"], np.array([0, 1]), ("x", "y")), "none") is None


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        ("heavy", np.array([0, 1]), "none or balanced"),
        ("balanced", np.array([[0, 1], [1, 1]], np.float32), "numbers have no classes"),
    ],
)
def test_weights_that_there_are_not_are_refused(kind: str, labels: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_class_weights(kind, Examples(["a", "b"], labels, ("x", "y"), regression=labels.ndim == 2))


def test_presence_of_a_rare_label_weighs_as_much_as_its_absence() -> None:
    labels = np.zeros((100, 3), np.float32)
    labels[:10, 0] = labels[:50, 1] = 1
    weights = positive_weights(labels)
    np.testing.assert_allclose(weights, [9, 1, 1])
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(100, 3, generator=generator)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.from_numpy(weights))(
        logits, torch.from_numpy(labels)
    )
    examples = Examples(["t"] * 100, labels, ("x", "y", "z"))
    loss = loss_function(examples, "balanced")
    assert loss is not None
    torch.testing.assert_close(loss({"logits": logits}, torch.from_numpy(labels)), expected)
    halves = [
        loss({"logits": logits[rows]}, torch.from_numpy(labels[rows]), 300)
        for rows in (slice(0, 30), slice(30, 100))
    ]
    torch.testing.assert_close(sum(halves), expected)


def test_the_term_loss_counts_real_tokens_only() -> None:
    predicted, terms = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    rows = [((predicted[i, j] - terms[i, j]) ** 2).sum() for i, j in ((0, 0), (0, 1), (1, 0))]
    torch.testing.assert_close(term_loss(predicted, terms, mask), torch.stack(rows).mean())
