"""Tries at the int8 graph: a speed means nothing unless each computes the classifier."""

import numpy as np
import pytest

from benchmarks.int8_tries import PUBLISHED, tries
from export.checkpoint.reading import load_checkpoint
from export.graph.running import open_session, run_rows

ROWS = [list(range(5, 45)), list(range(105, 145)), list(range(205, 245))]
# Its scores have a made-up scale: it is timed only.
TIMED_ONLY = "attention's scores in 8 bits"
# Codes of 8 bits are coarse for a random model; the others may differ by rounding only.
COARSE = "residual sums in 8 bits (QLinearAdd)"


def test_every_try_computes_the_classifier_for_rows_of_one_length(tiny_checkpoint) -> None:
    graphs = tries(load_checkpoint(tiny_checkpoint))
    found = {name: run_rows(open_session(graph, threads=1), ROWS) for name, graph in graphs.items()}
    wanted = found[PUBLISHED]
    assert len(found) == 5
    for name in found.keys() - {TIMED_ONLY}:
        allowed = 0.3 if name == COARSE else 1e-3
        assert np.abs(found[name] - wanted).mean() < allowed * np.abs(wanted).mean(), name
    assert np.isfinite(found[TIMED_ONLY]).all()


@pytest.mark.parametrize("name", ["attention without a mask", "attention without a mask and gathers"])
def test_only_attention_changes_where_the_mask_goes(tiny_checkpoint, name: str) -> None:
    graphs = tries(load_checkpoint(tiny_checkpoint))
    kinds = [
        sorted(node.op_type for node in graphs[each].graph.node if node.op_type.startswith("Q"))
        for each in (PUBLISHED, name)
    ]
    assert kinds[0] == kinds[1]
