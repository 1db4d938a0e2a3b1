"""Runs the gate on a model and reports: its figures, and the text and the tensor where it goes wrong."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from onnx import ModelProto

from export.checkpoint.reading import Checkpoint
from export.errors import GateError
from export.gate.divergence import TOLERANCES, find_divergence
from export.gate.figures import Figures, Measured, limit, measure, violations, worst_text
from export.gate.parity import check_tokenizer
from export.gate.reference import Reference, golden_reference, graph_reference
from export.gate.samples import Sample, built_in_sample, golden_sample
from export.graph.running import open_session
from export.precision.emulation import emulate_half
from export.precision.registry import twin_builder

_EXCERPT = 60


@dataclass(frozen=True)
class Report:
    """The gate's verdict on one model; `violated` is empty where it may be published.

    explanation: which text is worst, and in which tensor its divergence begins; empty without a violation.
    """

    precision: str
    figures: Figures
    violated: tuple[str, ...]
    reference: str
    seconds: float
    explanation: str

    def as_manifest(self) -> dict[str, Any]:
        """What a manifest keeps: every figure, and what it was measured against."""
        kept = {name: value for name, value in asdict(self.figures).items() if value is not None}
        return {"passed": not self.violated, "reference": self.reference, **kept}

    def raise_if_violated(self) -> None:
        """Raises GateError where a figure is beyond its limit."""
        if self.violated:
            raise GateError(self.failure())

    def failure(self) -> str:
        """In one line: the figures beyond their limits, the worst text, the tensor."""
        values = asdict(self.figures)
        excesses = ", ".join(
            f"{name} {values[name]:.3g} (limit {limit(self.precision, name, self.figures.texts):g})"
            for name in self.violated
        )
        return f"{self.precision} does not pass the gate: {excesses}; {self.explanation}"


def check_golden(model: ModelProto, precision: str, checkpoint: Checkpoint) -> Report | None:
    """Gate a model on the checkpoint's golden texts.

    Without golden texts the fp32 graph takes torch's place, on built-in texts. Then nothing can be said of
    fp32 itself: None.

    Raises:
        ParityError: the checkpoint's tokenizer does not give the golden ids.
    """
    if not checkpoint.golden and precision == "fp32":
        return None
    if not checkpoint.golden:
        sample = built_in_sample(checkpoint)
        return check(model, precision, checkpoint, sample, graph_reference(checkpoint, sample))
    check_tokenizer(checkpoint)
    return check(model, precision, checkpoint, golden_sample(checkpoint), golden_reference(checkpoint))


def check(
    model: ModelProto, precision: str, checkpoint: Checkpoint, sample: Sample, reference: Reference
) -> Report:
    """Gate a model on `sample`; half precision as a GPU computes it."""
    started = time.perf_counter()
    if precision == "fp16":
        model = emulate_half(model)
    measured = measure(open_session(model, threads=1), sample, reference.logits, checkpoint.config)
    violated = tuple(violations(measured.figures, precision))
    explanation = ""
    if violated:
        explanation = _explain(model, precision, checkpoint, sample, measured, violated)
    seconds = time.perf_counter() - started
    return Report(precision, measured.figures, violated, reference.source, seconds, explanation)


def _explain(
    model: ModelProto,
    precision: str,
    checkpoint: Checkpoint,
    sample: Sample,
    measured: Measured,
    violated: tuple[str, ...],
) -> str:
    index = worst_text(measured, violated)
    batched = bool(measured.batch_is_worse[index]) or violated[0] == "batch_probability_difference"
    rows = sample.batch_of(index).rows if batched else [sample.rows[index]]
    twin = twin_builder(precision)(checkpoint)
    divergence = find_divergence(model, twin, rows, TOLERANCES[precision])
    where = "no tensor differs from the float32 graph: the checkpoint and its reference logits do not match"
    if divergence:
        where = f"it diverges first in tensor {divergence.tensor} (relative error {divergence.error:.2g})"
    excerpt = " ".join(sample.texts[index].split())[:_EXCERPT]
    return f"worst is {sample.names[index]} ({excerpt!r}), {'in a batch' if batched else 'alone'}; {where}"
