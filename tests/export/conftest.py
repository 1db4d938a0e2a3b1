"""A small random checkpoint with golden logits, shared by export's tests; copy it before changing it."""

import shutil
from pathlib import Path

import onnx
import pytest
import torch

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.precision.fp32 import build_fp32
from tests.export.oracle import SMALL, edit_weights, torch_logits, write_golden
from tests.synthetic import write_checkpoint


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, three labels, golden logits; shared: do not change it."""
    folder = write_checkpoint(tmp_path_factory.mktemp("small_checkpoint"), labels=3, **SMALL)
    return write_golden(edit_weights(folder, _centre_logits))


def _centre_logits(model: torch.nn.Module) -> None:
    """Let every label win for some rows."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(5, 150, (length,), generator=generator).tolist() for length in range(1, 30)]
    model.classifier.bias.sub_(torch.tensor(torch_logits(model, rows).mean(axis=0), dtype=torch.float32))


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(small_checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Its fp32 graph."""
    return build_fp32(checkpoint)


@pytest.fixture
def own_checkpoint(small_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of `small_checkpoint` that the test may change."""
    return Path(shutil.copytree(small_checkpoint, tmp_path / "checkpoint"))
