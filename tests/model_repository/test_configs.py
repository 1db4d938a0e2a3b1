"""What a repository is seeded with, through Triton's own schema."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelInstanceGroup, ModelQueuePolicy

from export.publishing.generator import SOURCES
from export.publishing.seeding import seed_configs
from serving.onnxruntime_backend.limits import QueueLimits

PATHS = [f"{source.model}/{source.file}" for source in SOURCES]
ENSEMBLES = [path for path in PATHS if path.startswith("sentiment")]
ONNX = [path for path in PATHS if path not in ENSEMBLES and "tokenizer" not in path]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    assert seed_configs(folder) == []
    return folder


@pytest.fixture(scope="module")
def configs(repository: Path) -> dict[str, ModelConfig]:
    """By place in the repository, what Triton finds there."""
    paths = [*repository.glob("*/config.pbtxt"), *repository.glob("*/configs/*.pbtxt")]
    found = {str(path.relative_to(repository)): path.read_text() for path in paths}
    return {name: text_format.Parse(text, ModelConfig()) for name, text in found.items()}


def test_a_repository_has_these_models_and_variants(configs: dict[str, ModelConfig]) -> None:
    models = {
        *(f"mobilebert_{kind}" for kind in ("fp32", "fp16", "int8", "tokenizer")),
        "sentiment",
        "sentiment_fast",
    }
    on_gpu = models - {"mobilebert_int8", "sentiment"}
    expected = [f"{name}/config.pbtxt" for name in models] + [f"{name}/configs/gpu.pbtxt" for name in on_gpu]
    assert sorted(configs) == sorted(expected) == sorted(PATHS)


def without(config: ModelConfig, *fields: str) -> str:
    copy = ModelConfig.FromString(config.SerializeToString())
    for field in fields:
        copy.ClearField(field)
    return str(copy)


def test_precisions_differ_only_in_name(configs: dict[str, ModelConfig]) -> None:
    for file, number in (("config.pbtxt", 3), ("configs/gpu.pbtxt", 2)):
        alike = [without(configs[path], "name") for path in ONNX if path.endswith(f"/{file}")]
        assert (len(alike), len(set(alike))) == (number, 1)


def test_ensembles_differ_only_in_name_and_model(configs: dict[str, ModelConfig]) -> None:
    copies = [ModelConfig.FromString(configs[path].SerializeToString()) for path in ENSEMBLES]
    steps = [copy.ensemble_scheduling.step for copy in copies]
    models = [network.model_name for _, network in steps]
    assert models == ["mobilebert_fp32", "mobilebert_int8", "mobilebert_fp16"]
    for tokenizer, network in steps:
        assert tokenizer.output_map.pop(f"input_ids_for_{network.model_name}") == "input_ids"
        network.ClearField("model_name")
    assert len({without(copy, "name") for copy in copies}) == 1


@pytest.mark.parametrize("path", [path for path in PATHS if "gpu" in path and path not in ENSEMBLES])
def test_a_gpu_variant_has_its_own_instances_and_queue_and_shares_the_rest(
    path: str, configs: dict[str, ModelConfig]
) -> None:
    config, base = configs[path], configs[path.replace("configs/gpu", "config")]
    own = ("instance_group", "dynamic_batching", "parameters")
    assert without(config, *own) == without(base, *own)
    (group,) = config.instance_group
    if path in ONNX:
        assert (group.count, group.kind) == (1, ModelInstanceGroup.KIND_GPU)
        assert config.dynamic_batching.max_queue_delay_microseconds == 2000
        assert {name: each.string_value for name, each in config.parameters.items()} == {
            "enable_mem_pattern": "0"
        }
    else:
        assert (group.count, group.kind) == (4, ModelInstanceGroup.KIND_CPU)
        assert config.dynamic_batching == base.dynamic_batching
        assert config.parameters == base.parameters


@pytest.mark.parametrize("path", PATHS)
def test_a_configuration_names_its_folder(path: str, configs: dict[str, ModelConfig]) -> None:
    assert configs[path].name == path.partition("/")[0]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_from_triton_s_response_cache(path: str, configs: dict[str, ModelConfig]) -> None:
    """It would give wrong answers: docs/explanations/reliability.md."""
    assert not configs[path].response_cache.enable


@pytest.mark.parametrize("path", ONNX)
def test_ids_are_ragged_and_lengths_count_items(path: str, configs: dict[str, ModelConfig]) -> None:
    config = configs[path]
    assert config.input[0].allow_ragged_batch
    assert [each.kind for each in config.batch_input] == [BatchInput.BATCH_ITEM_SHAPE_FLATTEN]


CPP = [path for path in ONNX if path.endswith("gpu.pbtxt")]


@pytest.mark.parametrize("path", [path for path in PATHS if path not in CPP])
def test_no_queue_policy_keeps_triton_from_prefetching(path: str, configs: dict[str, ModelConfig]) -> None:
    """With one, lone clients waited half a second every now and then: docs/explanations/serving_speed.md."""
    batching = configs[path].dynamic_batching
    assert not batching.HasField("default_queue_policy")
    assert batching.priority_levels == 0


@pytest.mark.parametrize("path", CPP)
def test_a_backend_without_a_queue_of_its_own_limits_triton_s_by_count(
    path: str, configs: dict[str, ModelConfig]
) -> None:
    policy = configs[path].dynamic_batching.default_queue_policy
    assert policy == ModelQueuePolicy(max_queue_size=QueueLimits().requests)


@pytest.mark.parametrize("path", ENSEMBLES)
def test_an_ensemble_batches_no_more_than_its_steps(path: str, configs: dict[str, ModelConfig]) -> None:
    steps = configs[path].ensemble_scheduling.step
    assert len(steps) == 2
    sizes = [configs[f"{step.model_name}/config.pbtxt"].max_batch_size for step in steps]
    assert configs[path].max_batch_size <= min(sizes)
    assert {step.model_version for step in steps} == {1}


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ENSEMBLES])
def test_warmup_files_have_the_promised_size(
    path: str, configs: dict[str, ModelConfig], repository: Path
) -> None:
    config = configs[path]
    assert config.model_warmup
    for sample in config.model_warmup:
        for value in sample.inputs.values():
            data = (repository / config.name / "warmup" / value.input_data_file).read_bytes()
            if config.backend == "onnxruntime":
                assert len(data) == 8 * np.prod(value.dims)
            else:
                assert len(data) == 4 + int.from_bytes(data[:4], "little")
