"""Does the graph compute what torch computed? Compares with the golden logits that ship with a checkpoint.

Every golden text is run alone and together with all the others in one batch, where nothing may change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto
from onnxruntime import InferenceSession

from export.checkpoint.reading import Checkpoint, Golden
from export.errors import ParityError
from export.graph.running import load_tokenizer, open_session, run_rows

# Rounding in float32 stays below a tenth of this; a wrong weight or a padded neighbour is far above.
FP32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """Largest absolute difference of a logit, and the name of the golden text that has it."""

    difference: float
    text: str
    texts: int


def compare(session: InferenceSession, golden: Sequence[Golden]) -> Parity:
    """Run golden texts alone and in one batch. NaN counts as an infinite difference."""
    rows = [text.input_ids for text in golden]
    alone = np.concatenate([run_rows(session, [row]) for row in rows])
    together = run_rows(session, rows)
    wanted = np.array([text.logits for text in golden])
    differences = np.maximum(np.abs(alone - wanted), np.abs(together - wanted)).max(axis=1)
    differences = np.where(np.isfinite(differences), differences, np.inf)
    worst = int(differences.argmax())
    return Parity(float(differences[worst]), golden[worst].name, len(golden))


def check_parity(
    model: ModelProto, checkpoint: Checkpoint, tolerance: float = FP32_TOLERANCE
) -> Parity | None:
    """Compare the model with the checkpoint's golden logits; None when it ships none.

    Raises:
        ParityError: a logit differs by more than `tolerance`, or the tokenizer gives other ids.
    """
    if not checkpoint.golden:
        return None
    check_tokenizer(checkpoint)
    parity = compare(open_session(model), checkpoint.golden)
    if not parity.difference <= tolerance:
        raise ParityError(
            f"logits of golden text {parity.text!r} differ by {parity.difference:.3g} (limit {tolerance:g}): "
            "golden.jsonl belongs to other weights, or the export is wrong; write it anew: "
            "python -m training.golden FOLDER"
        )
    return parity


def check_tokenizer(checkpoint: Checkpoint) -> None:
    """Check that tokenizer.json turns every golden text into the ids that torch was given.

    Raises:
        ParityError: it gives other ids.
    """
    tokenizer = load_tokenizer(checkpoint)
    for text in checkpoint.golden:
        if tuple(tokenizer.encode(text.text).ids) != text.input_ids:
            raise ParityError(
                f"tokenizer.json gives other ids than golden.jsonl for {text.name!r}: one of them belongs "
                "to another checkpoint; save the tokenizer again, or write golden.jsonl anew: "
                "python -m training.golden FOLDER"
            )
