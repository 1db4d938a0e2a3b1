"""The logits that every precision is compared with: torch's in float32, for a text alone and without padding.

A text that is longer than the model's positions has the mean of its windows' logits.

Golden texts have them in their file. For other texts torch computes them, where it is installed. Where it is
not, the float32 graph takes its place, after it has agreed with the golden logits to 1e-4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.checkpoint.reading import Checkpoint
from export.errors import GateError
from export.gate.parallel import Progress, run_all
from export.gate.parity import check_parity
from export.gate.samples import Sample
from export.graph.running import open_session, run_rows
from export.graph.windows import Windows
from export.precision.fp32 import build_fp32


@dataclass(frozen=True)
class Reference:
    """logits: [N, labels] float64; source: where they come from, for the report."""

    logits: NDArray[np.float64]
    source: str


def golden_reference(checkpoint: Checkpoint) -> Reference:
    """The logits that ship with the checkpoint, in the order of its golden texts."""
    logits = np.array([text.logits for text in checkpoint.golden], dtype=np.float64)
    return Reference(logits, "torch's logits of the golden texts")


def reference_logits(
    checkpoint: Checkpoint, sample: Sample, progress: Progress = lambda done: None
) -> Reference:
    """The best reference there is for texts of the user's; `progress` hears how many are done.

    Raises:
        GateError: torch is not installed and the checkpoint ships no golden texts.
        ParityError: torch is not installed and the float32 graph does not agree with the golden logits.
    """
    if find_spec("torch") and find_spec("transformers"):
        logits = _torch_logits(checkpoint, sample.rows, progress)
        return Reference(logits, "torch in float32, every text alone, long ones in windows")
    fp32 = build_fp32(checkpoint)
    if check_parity(fp32, checkpoint) is None:
        raise GateError(
            "without torch and without golden.jsonl there is nothing to compare with: install torch and "
            "transformers, or write it elsewhere: python -m training.golden FOLDER"
        )
    logits = _graph_logits(fp32, sample.rows, progress)
    return Reference(logits, "the fp32 graph, which agrees with torch on the golden texts")


def graph_reference(checkpoint: Checkpoint, sample: Sample) -> Reference:
    """The float32 graph's logits, which nothing from torch confirms."""
    logits = _graph_logits(build_fp32(checkpoint), sample.rows, lambda done: None)
    return Reference(logits, "the fp32 graph, not compared with torch: golden.jsonl is missing")


def _torch_logits(
    checkpoint: Checkpoint, rows: Sequence[Sequence[int]], progress: Progress
) -> NDArray[np.float64]:
    import torch
    from transformers import MobileBertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = MobileBertForSequenceClassification.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()

    windows = Windows(checkpoint.config.max_position_embeddings)

    def run(row: Sequence[int]) -> NDArray[np.float64]:
        with torch.inference_mode():
            parts = [model(input_ids=torch.tensor([part])).logits[0] for part in windows.cut(row)]
        return torch.stack(parts).double().mean(dim=0).numpy()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return np.stack(run_all(run, rows, progress))
    finally:
        torch.set_num_threads(threads)


def _graph_logits(fp32: ModelProto, rows: Sequence[Sequence[int]], progress: Progress) -> NDArray[np.float64]:
    session = open_session(fp32, threads=1)
    return np.stack(run_all(lambda row: run_rows(session, [row])[0], rows, progress)).astype(np.float64)
