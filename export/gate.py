"""The gate: a model is published when it answers as the checkpoint does in float32, and not otherwise.

    report = check(model, "int8", sample, reference)
    if report.violations: ...

Every text is run alone, and again in mixed batches with trailing [PAD]s and an all-pad row between them; the
figures take the worse of the two. LIMITS is the one table of what each precision may cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.gate_texts import Sample
from export.parallel import run_all
from export.scores import accuracy, f1_score

FloatArray = NDArray[np.float64]

PRECISIONS = ("fp32", "fp16", "int8")

# What a precision may cost at most. Differences of logits and probabilities are absolute; F1 and accuracy are
# fractions lost; `margin_difference` is relative to the reference's margin, or to 1 where that is smaller.
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
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What was measured over `texts` texts; F1 and accuracy are None where they have no labels.

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


@dataclass(frozen=True)
class Answers:
    """Outputs for N texts: logits and probabilities [N, labels], score [N], label [N]."""

    logits: FloatArray
    probabilities: FloatArray
    score: FloatArray
    label: NDArray[np.object_]


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
    session: InferenceSession, sample: Sample, reference: FloatArray, labels: Sequence[str]
) -> Measured:
    """Run the sample alone and in batches, and compare with `reference`, its logits [N, labels].

    Texts run side by side, so the session should have one thread.
    """
    alone, together = answer_alone(session, sample), answer_in_batches(session, sample)
    off_alone, off_together = _logit_difference(alone, reference), _logit_difference(together, reference)
    difference = np.maximum(off_alone, off_together)
    wrong = _contradictions(alone, labels) | _contradictions(together, labels)
    margin = np.maximum(_margin_difference(alone, reference), _margin_difference(together, reference))
    batch = _finite(np.abs(alone.probabilities - together.probabilities).max(1))
    flipped = _best(alone.logits, reference) | _best(together.logits, reference)
    by_text = {
        "non_finite": _non_finite(alone) + _non_finite(together),
        "wrong_labels": wrong.astype(float),
        "margin_difference": margin,
        "batch_probability_difference": batch,
        "flip_rate": np.where(flipped, difference, 0.0),
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
        **_scores(sample, reference, alone, together),
    )
    worst_first = {name: by_text.get(name, difference) for name in LIMITS}
    return Measured(figures, worst_first, off_together > off_alone)


def worst_text(measured: Measured, violated: Sequence[str]) -> int:
    """Index of the text that is worst by the first violated figure."""
    return int(measured.by_text[violated[0]].argmax())


def answer_alone(session: InferenceSession, sample: Sample) -> Answers:
    """Every row in a batch of its own, as it is."""
    return _join(run_all(lambda row: _run(session, [row]), sample.rows))


def answer_in_batches(session: InferenceSession, sample: Sample) -> Answers:
    """Rows in `sample.batches()`, results in the sample's order."""
    batches = list(sample.batches())
    parts = run_all(lambda batch: _take(_run(session, batch.rows), batch.places), batches)
    order = [member for batch in batches for member in batch.members]
    return _take(_join(parts), np.argsort(order))


def _run(session: InferenceSession, rows: Sequence[Sequence[int]]) -> Answers:
    ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    feed = {"input_ids": ids, "item_lengths": np.array([len(row) for row in rows], dtype=np.int32)}
    logits, probabilities, score, label = session.run(["logits", "probabilities", "score", "label"], feed)
    return Answers(logits.astype(float), probabilities.astype(float), score[:, 0].astype(float), label[:, 0])


def _join(parts: Sequence[Answers]) -> Answers:
    names = ("logits", "probabilities", "score", "label")
    return Answers(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _take(answers: Answers, places: Sequence[int] | NDArray[np.intp]) -> Answers:
    kept = np.asarray(places, dtype=np.intp)
    return Answers(
        answers.logits[kept], answers.probabilities[kept], answers.score[kept], answers.label[kept]
    )


def _logit_difference(answers: Answers, reference: FloatArray) -> FloatArray:
    return _finite(np.abs(answers.logits - reference).max(1))


def _margin_difference(answers: Answers, reference: FloatArray) -> FloatArray:
    """Of the reference's best label over its second: how much the answer's differs."""
    second, best = np.argsort(reference, axis=1)[:, -2:].T
    rows = np.arange(len(reference))
    wanted = reference[rows, best] - reference[rows, second]
    margin = answers.logits[rows, best] - answers.logits[rows, second]
    return _finite(np.abs(margin - wanted) / np.maximum(wanted, 1.0))


def _contradictions(answers: Answers, labels: Sequence[str]) -> NDArray[np.bool_]:
    """Where label, score and probabilities do not follow from the logits."""
    shifted = np.exp(answers.logits - answers.logits.max(1, keepdims=True))
    softmax = shifted / shifted.sum(1, keepdims=True)
    named = np.array(labels, dtype=object)[answers.logits.argmax(1)]
    off = np.abs(answers.probabilities - softmax).max(1) > 1e-4
    return (answers.label != named) | ~(np.abs(answers.score - softmax.max(1)) <= 1e-4) | off


def _best(logits: FloatArray, reference: FloatArray) -> NDArray[np.bool_]:
    return logits.argmax(1) != reference.argmax(1)


def _non_finite(answers: Answers) -> FloatArray:
    return (~np.isfinite(answers.logits)).sum(1) + (~np.isfinite(answers.probabilities)).sum(1).astype(float)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.inf)


def _scores(
    sample: Sample, reference: FloatArray, alone: Answers, together: Answers
) -> dict[str, float | None]:
    """F1 and accuracy, of the worse of the two runs, and what they lose against the reference."""
    if sample.truth is None:
        return dict.fromkeys(("f1", "f1_loss", "accuracy", "accuracy_loss"))
    truth, wanted = sample.truth, reference.argmax(1)
    runs = [alone.logits.argmax(1), together.logits.argmax(1)]
    f1 = min(f1_score(truth, run) for run in runs)
    share = min(accuracy(truth, run) for run in runs)
    return {
        "f1": f1,
        "f1_loss": max(0.0, f1_score(truth, wanted) - f1),
        "accuracy": share,
        "accuracy_loss": max(0.0, accuracy(truth, wanted) - share),
    }
