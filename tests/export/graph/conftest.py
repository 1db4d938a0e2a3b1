"""The small checkpoint, its graph, and torch's model of it, made once for each module."""

from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession

from export.checkpoint.reading import Checkpoint
from export.graph.running import open_session
from export.precision.fp32 import build_fp32
from tests.export.oracle import torch_model


@pytest.fixture(scope="module")
def session(checkpoint: Checkpoint) -> InferenceSession:
    return open_session(build_fp32(checkpoint), threads=1)


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> torch.nn.Module:
    return torch_model(small_checkpoint)
