"""What a model answers to the texts of a sample: each alone, and all of them in batches."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.checkpoint.problem_types import SINGLE, outputs, scores_output
from export.gate.parallel import run_all
from export.gate.samples import Sample
from export.graph.running import row_inputs

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Outputs for N texts: logits and probabilities [N, labels], score [N], label [N].

    probabilities: of a regression its values. labels: [N, labels] of a multi-label model, else `label` again.
    """

    logits: FloatArray
    probabilities: FloatArray
    score: FloatArray
    label: NDArray[np.object_]
    labels: NDArray[np.object_]


def answer_alone(session: InferenceSession, sample: Sample, kind: str = SINGLE) -> Answers:
    """Every row in a batch of its own, as it is."""
    return _join(run_all(lambda row: _run(session, [row], kind), sample.rows))


def answer_in_batches(session: InferenceSession, sample: Sample, kind: str = SINGLE) -> Answers:
    """Rows in `sample.batches()`, results in the sample's order."""
    batches = list(sample.batches())
    parts = run_all(lambda batch: _take(_run(session, batch.rows, kind), batch.places), batches)
    order = [member for batch in batches for member in batch.members]
    return _take(_join(parts), np.argsort(order))


def _run(session: InferenceSession, rows: Sequence[Sequence[int]], kind: str) -> Answers:
    names = [output.name for output in outputs(kind)]
    found = dict(zip(names, session.run(names, row_inputs(rows)), strict=True))
    return Answers(
        logits=found["logits"].astype(float),
        probabilities=found[scores_output(kind)].astype(float),
        score=found["score"][:, 0].astype(float),
        label=found["label"][:, 0],
        labels=found.get("labels", found["label"]),
    )


def _join(parts: Sequence[Answers]) -> Answers:
    names = [field.name for field in fields(Answers)]
    return Answers(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _take(answers: Answers, places: Sequence[int] | NDArray[np.intp]) -> Answers:
    kept = np.asarray(places, dtype=np.intp)
    return Answers(**{field.name: getattr(answers, field.name)[kept] for field in fields(Answers)})
