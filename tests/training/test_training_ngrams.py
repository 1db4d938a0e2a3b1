"""The n-gram teacher against a plain count of n-grams, and its terms against its own logit."""

import itertools

import numpy as np
import pytest

from training.ngrams import NgramTeacher, ngram_keys

VOCABULARY = 50


def corpus(count: int = 60, labels: int = 2) -> tuple[list[np.ndarray], np.ndarray]:
    """Texts whose words lean to one label or another."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % labels
    texts = [np.r_[1, generator.permutation(9)[:6] + 3 + 10 * target, 2] for target in targets]
    return texts, targets


@pytest.mark.parametrize("order", [1, 2, 3])
def test_keys_are_equal_exactly_where_the_ngrams_are(order: int) -> None:
    text = np.random.default_rng(1).integers(0, 3, 40)
    keys = ngram_keys(text, VOCABULARY, order)
    ngrams = [tuple(text[i : i + order]) for i in range(len(text) - order + 1)]
    for (one, first), (two, second) in itertools.combinations(zip(ngrams, keys, strict=True), 2):
        assert (one == two) == (first == second)


def test_keys_of_different_orders_never_meet() -> None:
    ids = np.array([0, 0, 0, VOCABULARY - 1, VOCABULARY - 1, VOCABULARY - 1])
    groups = [set(ngram_keys(ids, VOCABULARY, order).tolist()) for order in (1, 2, 3)]
    assert len(set().union(*groups)) == sum(map(len, groups))


def test_a_text_shorter_than_the_ngram_has_none() -> None:
    assert len(ngram_keys(np.array([1, 2]), VOCABULARY, 3)) == 0


def test_features_are_the_presence_of_frequent_ngrams() -> None:
    texts, labels = corpus()
    teacher = NgramTeacher(VOCABULARY).fit(texts, labels, 2)
    ngrams = [{tuple(t[i : i + n]) for n in (1, 2, 3) for i in range(len(t) - n + 1)} for t in texts]
    frequent = {n for n in set().union(*ngrams) if sum(n in several for several in ngrams) >= 2}
    features = teacher.features(texts)
    assert features.shape == (len(texts), len(frequent))
    assert features.sum(axis=1).ravel().tolist()[0] == [len(several & frequent) for several in ngrams]


@pytest.mark.parametrize("labels", [2, 3])
def test_the_teacher_learns_and_a_stranger_has_only_the_bias(labels: int) -> None:
    texts, targets = corpus(labels=labels)
    teacher = NgramTeacher(VOCABULARY).fit(texts, targets, labels)
    logits = teacher.logits(texts)
    assert logits.shape == (60, labels)
    assert (logits.argmax(axis=1) == targets).mean() > 0.9
    strange = teacher.logits([np.array([40, 41, 42])])
    assert abs(strange - teacher.logits([np.array([45])])).max() < 1e-9


@pytest.mark.parametrize("labels", [2, 3])
def test_terms_add_up_to_the_logit_where_no_ngram_repeats(labels: int) -> None:
    texts, targets = corpus(labels=labels)
    teacher = NgramTeacher(VOCABULARY).fit(texts, targets, labels)
    distinct = [text for text in texts if len(set(text.tolist())) == len(text)][:5]
    assert distinct
    models = teacher.model.models
    biases = np.array([model.intercept_[0] for model in models])
    terms = [rows.reshape(len(rows), len(models), 3).sum(axis=(0, 2)) for rows in teacher.terms(distinct)]
    sums = np.array(terms, np.float64) + biases
    logits = teacher.logits(distinct)
    expected = logits[:, 1:] - logits[:, :1] if labels == 2 else logits
    np.testing.assert_allclose(sums, expected, atol=0.02)  # terms are stored in half precision
