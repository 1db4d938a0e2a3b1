"""The tracked configurations, through Triton's own schema."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelQueuePolicy

from serving.onnxruntime_backend.limits import Limits

REPOSITORY = Path(__file__).parents[2] / "model_repository"
PATHS = sorted([*REPOSITORY.glob("*/config.pbtxt"), *REPOSITORY.glob("*/configs/*.pbtxt")])
ONNX = [path for path in PATHS if "onnxruntime" in path.read_text()]
ENSEMBLES = [path for path in PATHS if "ensemble_scheduling" in path.read_text()]


def read(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_configuration_names_its_folder(path: Path) -> None:
    assert read(path).name == path.relative_to(REPOSITORY).parts[0]


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_nothing_is_answered_from_triton_s_response_cache(path: Path) -> None:
    """It would give wrong answers: docs/explanations/reliability.md."""
    assert not read(path).response_cache.enable


@pytest.mark.parametrize("path", ONNX, ids=name_of)
def test_ids_are_ragged_and_lengths_count_items(path: Path) -> None:
    config = read(path)
    assert config.input[0].allow_ragged_batch
    assert [each.kind for each in config.batch_input] == [BatchInput.BATCH_ITEM_SHAPE_FLATTEN]


CPP = [path for path in ONNX if path.name == "gpu.pbtxt"]


@pytest.mark.parametrize("path", [path for path in PATHS if path not in CPP], ids=name_of)
def test_no_queue_policy_keeps_triton_from_prefetching(path: Path) -> None:
    """With one, lone clients waited half a second every now and then: docs/explanations/serving_speed.md."""
    batching = read(path).dynamic_batching
    assert not batching.HasField("default_queue_policy")
    assert batching.priority_levels == 0


@pytest.mark.parametrize("path", CPP, ids=name_of)
def test_a_backend_without_a_queue_of_its_own_limits_triton_s_by_count(path: Path) -> None:
    policy = read(path).dynamic_batching.default_queue_policy
    assert policy == ModelQueuePolicy(max_queue_size=Limits().requests)


def test_precisions_share_one_signature() -> None:
    signatures = {str((read(path).input, read(path).output, read(path).batch_input)) for path in ONNX}
    assert len(signatures) == 1


@pytest.mark.parametrize("path", ENSEMBLES, ids=name_of)
def test_an_ensemble_batches_no_more_than_its_steps(path: Path) -> None:
    config = read(path)
    steps = [read(REPOSITORY / step.model_name / "config.pbtxt") for step in config.ensemble_scheduling.step]
    assert config.max_batch_size <= min(step.max_batch_size for step in steps)
    assert {step.model_version for step in config.ensemble_scheduling.step} == {1}


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ENSEMBLES], ids=name_of)
def test_warmup_files_have_the_promised_size(path: Path) -> None:
    config = read(path)
    assert config.model_warmup
    for sample in config.model_warmup:
        for value in sample.inputs.values():
            data = (REPOSITORY / config.name / "warmup" / value.input_data_file).read_bytes()
            if config.backend == "onnxruntime":
                assert len(data) == 8 * np.prod(value.dims)
            else:
                assert len(data) == 4 + int.from_bytes(data[:4], "little")
