"""NB-SVM against the formula and against chance; targets that mix labels and teachers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.feature_extraction.text import CountVectorizer

from training.data import Examples
from training.nbsvm import LinearNbSvm, log_count_ratio, out_of_fold
from training.ngrams import NgramTeacher
from training.teachers import (
    both_ends,
    by_text,
    ngram_logits,
    pair,
    scaled_terms,
    soft_labels,
)

WORDS = {
    "good": ("great", "fine", "warm"),
    "bad": ("dull", "poor", "weak"),
    "odd": ("weird", "strange", "eerie"),
}


def texts(names: tuple[str, ...], count: int) -> Examples:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % len(names)
    words = [" ".join([generator.choice(WORDS[names[k]]), "film", str(i % 7)]) for i, k in enumerate(labels)]
    return Examples(words, labels.astype(np.int64), names)


def presence(train: list[str]) -> csr_matrix:
    return CountVectorizer(ngram_range=(1, 3), binary=True).fit_transform(train)


def test_log_count_ratio_is_the_formula_of_the_paper() -> None:
    features = csr_matrix(np.array([[1, 0], [1, 1], [0, 1]], np.float64))
    positive = np.array([True, True, False])
    p, q = np.array([3, 2]) / 5, np.array([1, 2]) / 3  # counts plus one
    np.testing.assert_allclose(log_count_ratio(features, positive), np.log(p / q))


@pytest.mark.parametrize("names", [("good", "bad"), ("good", "bad", "odd")])
def test_nbsvm_learns_two_labels_and_three(names: tuple[str, ...]) -> None:
    train = texts(names, 60)
    features = presence(train.texts)
    logits = LinearNbSvm().fit(features, train.labels, len(names)).decision(features)
    assert logits.shape == (60, len(names))
    assert (logits.argmax(axis=1) == train.labels).all()


def test_out_of_fold_logits_do_not_know_the_texts_label() -> None:
    generator = np.random.default_rng(1)
    train = [f"unique{i} unique{i}" for i in range(80)]
    features = presence(train)
    labels = generator.integers(0, 2, 80)
    seen = LinearNbSvm().fit(features, labels, 2).decision(features).argmax(axis=1)
    unseen = out_of_fold(features, labels, 2).argmax(axis=1)
    assert (seen == labels).mean() == 1
    assert (unseen == labels).mean() < 0.7


def token_texts(count: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    labels = np.arange(count, dtype=np.int64) % 2
    generator = np.random.default_rng(2)
    return [generator.permutation(8)[:5] + 10 * label for label in labels], labels


def test_teacher_logits_cover_every_set_of_texts() -> None:
    texts, labels = token_texts(60)
    teacher = NgramTeacher(vocabulary=30).fit(texts, labels, 2)
    sets = {"train": texts, "held_out": texts[:1], "unlabelled": [texts[1], texts[2]], "test": texts[3:4]}
    logits = ngram_logits(teacher, sets, labels)
    assert {name: values.shape for name, values in logits.items()} == {
        "train": (60, 2),
        "held_out": (1, 2),
        "unlabelled": (2, 2),
        "test": (1, 2),
    }
    assert logits["unlabelled"].argmax(axis=1).tolist() == [1, 0]


def test_scaled_terms_are_those_of_each_text_at_unit_deviation() -> None:
    texts, labels = token_texts(60)
    teacher = NgramTeacher(vocabulary=30).fit(texts, labels, 2)
    scaled = scaled_terms(teacher, texts)
    assert scaled.astype(np.float32).sum(axis=1).std() == pytest.approx(1, abs=0.01)
    for cut, terms in zip(by_text(scaled, texts), teacher.terms(texts), strict=True):
        assert cut.shape == terms.shape
        assert np.corrcoef(cut.ravel(), terms.ravel())[0, 1] > 0.999


def test_soft_labels_are_half_label_half_teacher() -> None:
    teacher = np.log(np.array([[0.3, 0.7], [0.5, 0.5]], np.float32))
    shares = softmax(soft_labels(teacher, np.array([1, 0])), axis=1)
    np.testing.assert_allclose(shares, [[0.15, 0.85], [0.75, 0.25]], atol=1e-5)


def test_pair_is_the_weighted_mean_of_centred_logits() -> None:
    first = np.array([[-1.0, 1.0], [2.0, -2.0]], np.float32)
    second = np.array([[3.0, 1.0], [0.0, 8.0]], np.float32)
    np.testing.assert_allclose(pair(first, second, 0.25), [[-0.5, 0.5], [0.5, -0.5]])
    np.testing.assert_allclose(pair(first, second, 0), first)


def test_both_ends_leaves_out_the_middle() -> None:
    assert both_ends(np.arange(10), 4).tolist() == [0, 1, 8, 9]
    assert both_ends(np.arange(3), 4).tolist() == [0, 1, 2]
