"""The gate's figures and limits: how far a model's answers are from the checkpoint's in float32.

    found = measure(session, sample, reference, checkpoint.config)
    if violations(found.figures, "int8"): ...

Every text is run alone, and again in mixed batches with trailing [PAD]s and an all-pad row between them; the
figures take the worse of the two. LIMITS is the one table of what each precision may cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.checkpoint.config import ModelConfig
from export.checkpoint.problem_types import MULTI, REGRESSION, SINGLE, apply
from export.gate.answers import Answers, answer_alone, answer_in_batches
from export.gate.samples import Sample
from export.gate.scores import accuracy, f1_score, root_mean_square

FloatArray = NDArray[np.float64]

PRECISIONS = ("fp32", "fp16", "int8")

# What a precision may cost at most. Differences of logits and probabilities are absolute; F1 and accuracy are
# fractions lost; `margin_difference` is relative to the reference's margin, or to 1 where that is smaller;
# `error_rise` is in units of a regression's largest reference value, or of 1.
LIMITS: dict[str, tuple[float, float, float]] = {
    #                                    fp32   fp16   int8
    "non_finite":                       (0,     0,     0),
    "wrong_labels":                     (0,     0,     0),
    "max_logit_difference":             (1e-4,  5e-2,  1.0),
    "p999_logit_difference":            (1e-4,  5e-2,  0.8),
    "margin_difference":                (2e-4,  5e-2,  0.5),
    "flip_rate":                        (0,     1e-3,  1.5e-2),
    "batch_probability_difference":     (1e-4,  2e-3,  5e-3),
    "f1_loss":                          (0,     1e-3,  5e-3),
    "accuracy_loss":                    (0,     1e-3,  5e-3),
    "error_rise":                       (1e-4,  1e-3,  1e-2),
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What was measured over `texts` texts; F1, accuracy and error are None where they have no labels.

    f1: of all decisions of a multi-label model, whose accuracy counts texts with every label right.
    error: root of the mean squared error of a regression, in its own unit.
    wrong_labels: answers whose `label`, `score` or `probabilities` contradict their own logits.
    batch_probability_difference: between a text alone and in a batch.
    """

    texts: int
    non_finite: int
    wrong_labels: int
    max_logit_difference: float
    p999_logit_difference: float
    margin_difference: float
    flip_rate: float
    batch_probability_difference: float
    f1: float | None
    f1_loss: float | None
    accuracy: float | None
    accuracy_loss: float | None
    error: float | None = None
    error_rise: float | None = None


@dataclass(frozen=True)
class Measured:
    """Figures with, for each of them, how bad every text is; the worst of them explains a violation."""

    figures: Figures
    by_text: Mapping[str, FloatArray]
    batch_is_worse: NDArray[np.bool_]


def limit(precision: str, figure: str, texts: int) -> float:
    """The table's entry; among few texts, a precision that may flip labels at all may flip one."""
    value = LIMITS[figure][PRECISIONS.index(precision)]
    return max(value, 1 / texts) if figure == "flip_rate" and value else value


def violations(figures: Figures, precision: str) -> list[str]:
    """Names of the figures beyond their limits; a figure that is not a number is beyond any."""
    values = asdict(figures)
    return [
        name
        for name in LIMITS
        if values[name] is not None and not values[name] <= limit(precision, name, figures.texts)
    ]


def measure(
    session: InferenceSession, sample: Sample, reference: FloatArray, config: ModelConfig
) -> Measured:
    """Run the sample alone and in batches, and compare with `reference`, its logits [N, labels].

    A regression's values have a unit of their own: they are compared in units of the largest reference, or
    of 1 where that is smaller. Texts run side by side, so the session should have one thread.
    """
    kind = config.problem_type
    unit = max(1.0, float(np.abs(reference).max())) if kind == REGRESSION else 1.0
    reference = reference / unit
    answers = answer_alone(session, sample, kind), answer_in_batches(session, sample, kind)
    wrong = _contradictions(answers[0], config) | _contradictions(answers[1], config)
    alone, together = (_in_units(each, unit) for each in answers)
    off_alone, off_together = _logit_difference(alone, reference), _logit_difference(together, reference)
    difference = np.maximum(off_alone, off_together)
    margin = np.maximum(
        _margin_difference(alone, reference, config), _margin_difference(together, reference, config)
    )
    batch = _finite(np.abs(alone.probabilities - together.probabilities).max(1))
    flipped = np.maximum(_flips(alone.logits, reference, config), _flips(together.logits, reference, config))
    by_text = {
        "non_finite": _non_finite(alone) + _non_finite(together),
        "wrong_labels": wrong.astype(float),
        "margin_difference": margin,
        "batch_probability_difference": batch,
        "flip_rate": np.where(flipped > 0, difference, 0.0),
    }
    figures = Figures(
        texts=len(reference),
        non_finite=int(by_text["non_finite"].sum()),
        wrong_labels=int(wrong.sum()),
        max_logit_difference=float(difference.max()),
        p999_logit_difference=float(np.quantile(difference, 0.999, method="higher")),
        margin_difference=float(margin.max()),
        flip_rate=float(flipped.mean()),
        batch_probability_difference=float(batch.max()),
        **_scores(sample.truth, reference, (alone.logits, together.logits), config, unit),
    )
    worst_first = {name: by_text.get(name, difference) for name in LIMITS}
    return Measured(figures, worst_first, off_together > off_alone)


def worst_text(measured: Measured, violated: Sequence[str]) -> int:
    """Index of the text that is worst by the first violated figure."""
    return int(measured.by_text[violated[0]].argmax())


def _in_units(answers: Answers, unit: float) -> Answers:
    """A regression's logits and values divided by `unit`."""
    if unit == 1.0:
        return answers
    return replace(answers, logits=answers.logits / unit, probabilities=answers.probabilities / unit)


def _logit_difference(answers: Answers, reference: FloatArray) -> FloatArray:
    return _finite(np.abs(answers.logits - reference).max(1))


def _margin_difference(answers: Answers, reference: FloatArray, config: ModelConfig) -> FloatArray:
    """How far the answer's margin is from the reference's.

    The margin is the logit of the reference's best label less that of its second. Where labels stand alone,
    a label's margin is its distance from the threshold (regression: from 0).
    """
    if config.problem_type != SINGLE:
        wanted = np.abs(reference - _cut(config))
        return _finite((np.abs(answers.logits - reference) / np.maximum(wanted, 1.0)).max(1))
    second, best = np.argsort(reference, axis=1)[:, -2:].T
    rows = np.arange(len(reference))
    wanted = reference[rows, best] - reference[rows, second]
    margin = answers.logits[rows, best] - answers.logits[rows, second]
    return _finite(np.abs(margin - wanted) / np.maximum(wanted, 1.0))


def _contradictions(answers: Answers, config: ModelConfig) -> NDArray[np.bool_]:
    """Where label, score, probabilities and labels do not follow from the logits."""
    wanted = apply(config.problem_type, answers.logits)
    names = np.array(config.labels, dtype=object)
    off = ~(np.abs(answers.probabilities - wanted).max(1) <= 1e-4)
    off |= ~(np.abs(answers.score - wanted.max(1)) <= 1e-4)
    if config.problem_type == MULTI:
        above = answers.probabilities >= np.float32(config.threshold)
        off |= (answers.labels != np.where(above, names, "")).any(1)
    return (answers.label != names[answers.logits.argmax(1)]) | off


def _flips(logits: FloatArray, reference: FloatArray, config: ModelConfig) -> FloatArray:
    """[N]: 1 where the label is another, or the share of a multi-label model's decisions that are."""
    if config.problem_type == REGRESSION:
        return np.zeros(len(logits))
    if config.problem_type == MULTI:
        return ((logits >= _cut(config)) != (reference >= _cut(config))).mean(1)
    return (logits.argmax(1) != reference.argmax(1)).astype(float)


def _cut(config: ModelConfig) -> float:
    """The logit at which a multi-label model decides; 0 for a regression."""
    return float(np.log(config.threshold / (1 - config.threshold))) if config.problem_type == MULTI else 0.0


def _non_finite(answers: Answers) -> FloatArray:
    return (~np.isfinite(answers.logits)).sum(1) + (~np.isfinite(answers.probabilities)).sum(1).astype(float)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.inf)


def _scores(
    truth: NDArray[Any] | None,
    reference: FloatArray,
    runs: Sequence[FloatArray],
    config: ModelConfig,
    unit: float,
) -> dict[str, float | None]:
    """F1, accuracy or error of the worse of two runs, and what it loses against the reference."""
    if truth is None:
        return dict.fromkeys(("f1", "f1_loss", "accuracy", "accuracy_loss"))
    if config.problem_type == REGRESSION:
        error = max(root_mean_square(truth / unit, run) for run in runs)
        rise = error - root_mean_square(truth / unit, reference)
        return {
            **_scores(None, reference, runs, config, unit),
            "error": error * unit,
            "error_rise": max(0.0, rise),
        }
    decisions, wanted = [_decide(run, config) for run in runs], _decide(reference, config)
    f1 = min(f1_score(truth, each) for each in decisions)
    share = min(accuracy(truth, each) for each in decisions)
    return {
        "f1": f1,
        "f1_loss": max(0.0, f1_score(truth, wanted) - f1),
        "accuracy": share,
        "accuracy_loss": max(0.0, accuracy(truth, wanted) - share),
    }


def _decide(logits: FloatArray, config: ModelConfig) -> NDArray[np.int64]:
    """The best label [N], or which labels of a multi-label model are above its threshold [N, labels]."""
    if config.problem_type == MULTI:
        return (logits >= _cut(config)).astype(np.int64)
    return logits.argmax(1)
