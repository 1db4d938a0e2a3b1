"""The repository of the benchmarks: as published, but for the bound of the queue."""

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.rivals.padded_models import CONFIGS
from benchmarks.servers.repository import LONGEST_WAIT_S, let_wait


@pytest.mark.parametrize("whose", ["ours", "padded"])
def test_only_the_bound_of_the_queue_differs_from_what_is_published(
    whose: str, published_repository: Path, tmp_path: Path
) -> None:
    source = published_repository / "mobilebert_fp32" if whose == "ours" else CONFIGS / "padded_fp32"
    path = tmp_path / "config.pbtxt"
    shutil.copy(source / "config.pbtxt", path)
    published = text_format.Parse(path.read_text(), ModelConfig())
    let_wait(path)
    changed = text_format.Parse(path.read_text(), ModelConfig())
    assert changed.parameters["max_queue_seconds"].string_value == str(LONGEST_WAIT_S)
    for config in (published, changed):
        config.parameters.pop("max_queue_seconds", None)
    assert changed == published
