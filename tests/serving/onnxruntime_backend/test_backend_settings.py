"""From the model configuration to ONNX Runtime's options."""

from pathlib import Path

import onnxruntime as ort
import pytest

from serving.onnxruntime_backend import cores
from serving.onnxruntime_backend.asked import Asked, read_parameters
from serving.onnxruntime_backend.limits import QueueLimits, read_limits
from serving.onnxruntime_backend.memory import available_memory
from serving.onnxruntime_backend.merging import RequestError, check_batch_inputs
from serving.onnxruntime_backend.session import intra_op_threads, lanes, providers, session_options
from serving.onnxruntime_backend.settings import ConfigError, ModelSettings, parse_settings


def settings(parameters: dict[str, str] | None = None, **more) -> ModelSettings:
    given = {key: {"string_value": value} for key, value in (parameters or {}).items()}
    return parse_settings({"name": "m", "parameters": given} | more)


def test_parameters_reach_onnx_runtime() -> None:
    options = session_options(
        settings(
            {
                "inter_op_thread_count": "2",
                "execution_mode": "1",
                "enable_mem_arena": "0",
                "enable_mem_pattern": "false",
                "session.use_device_allocator_for_initializers": "1",
            }
        ),
        threads=3,
    )
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"


def test_absent_parameters_leave_onnx_runtime_its_defaults() -> None:
    options, plain = session_options(settings(), 1), ort.SessionOptions()
    for name in ("inter_op_num_threads", "execution_mode", "enable_cpu_mem_arena", "enable_mem_pattern"):
        assert getattr(options, name) == getattr(plain, name)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_level_counts_as_in_the_cpp_backend(level: int, expected: str) -> None:
    options = session_options(settings(optimization={"graph": {"level": level}}), 1)
    assert options.graph_optimization_level == getattr(ort.GraphOptimizationLevel, expected)


@pytest.mark.parametrize(("cores", "instances", "threads"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_cores_are_divided_among_instances(cores: int, instances: int, threads: int) -> None:
    groups = [{"count": 1}] * (instances - 1) + [{}]
    assert intra_op_threads(settings(instance_group=groups), cores) == threads
    assert intra_op_threads(settings({"intra_op_thread_count": "0"}, instance_group=groups), cores) == threads


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"intra_op_thread_count": "many"}, "intra_op_thread_count"),
        ({"enable_mem_arena": "perhaps"}, "enable_mem_arena"),
        ({"execution_mode": "2"}, "execution_mode"),
    ],
)
def test_a_parameter_out_of_range_is_named(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_options(settings(parameters), intra_op_threads(settings(parameters), 2))


def test_an_execution_provider_that_is_not_installed_is_an_error() -> None:
    accelerated = settings(
        optimization={"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}}
    )
    with pytest.raises(ConfigError, match="OpenVINOExecutionProvider"):
        providers(accelerated, "CPU", 0, ["CPUExecutionProvider"])
    assert providers(settings(), "GPU", 1, ["CUDAExecutionProvider"])[0] == (
        "CUDAExecutionProvider",
        {"device_id": "1"},
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "BATCH_NOTHING", "data_type": "TYPE_INT32", "source_input": ["x"]}, "BATCH_NOTHING"),
        (
            {"kind": "BATCH_ITEM_SHAPE", "data_type": "TYPE_INT64", "source_input": ["x"]},
            "TYPE_INT32 or TYPE_FP32",
        ),
        (
            {"kind": "BATCH_ITEM_SHAPE", "data_type": "TYPE_INT32", "source_input": ["z"]},
            "'z' is not an input",
        ),
    ],
)
def test_a_batch_input_that_cannot_be_made_is_refused(entry: dict, message: str) -> None:
    inputs = [{"name": "x", "data_type": "TYPE_INT64", "dims": [-1]}]
    with pytest.raises(ConfigError, match=message):
        parse_and_check(input=inputs, batch_input=[entry | {"target_name": ["n"]}])


def parse_and_check(**config: list) -> None:
    parsed = settings(**config)
    check_batch_inputs(parsed.batch_inputs, parsed.inputs)


def test_quota_of_cgroup_version_2_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("0::/pod/container\n")
    root = tmp_path / "fs"
    (root / "pod" / "container").mkdir(parents=True)
    (root / "pod" / "container" / "cpu.max").write_text("max 100000\n")
    assert cores.cgroup_quota(tmp_path / "proc", root) == float("inf")
    (root / "pod" / "cpu.max").write_text("150000 100000\n")
    assert cores.cgroup_quota(tmp_path / "proc", root) == 1.5


def test_quota_of_cgroup_version_1(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/x\n3:cpu,cpuacct:/docker/abc\n")
    folder = tmp_path / "fs" / "cpu,cpuacct"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.cgroup_quota(tmp_path / "proc", tmp_path / "fs") == float("inf")
    (folder / "cpu.cfs_quota_us").write_text("400000\n")
    assert cores.cgroup_quota(tmp_path / "proc", tmp_path / "fs") == 4.0


def test_usable_cores_obey_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(6))
    for quota, expected in ((float("inf"), 6), (2.9, 2), (0.5, 1)):
        monkeypatch.setattr(cores, "cgroup_quota", lambda quota=quota: quota)
        assert cores.usable_cores() == expected


def test_memory_is_what_the_machine_has_or_what_the_cgroup_leaves(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:   4000 kB\n")
    (tmp_path / "proc").write_text("0::/pod\n")
    folder = tmp_path / "fs" / "pod"
    folder.mkdir(parents=True)
    where = (tmp_path / "meminfo", tmp_path / "proc", tmp_path / "fs")
    (folder / "memory.max").write_text("max\n")
    (folder / "memory.current").write_text("1000\n")
    assert available_memory(*where) == 4000 * 1024
    (folder / "memory.max").write_text("5000\n")
    assert available_memory(*where) == 4000
    assert available_memory(tmp_path / "none", tmp_path / "none", tmp_path / "none") == float("inf")


def test_memory_of_cgroup_version_1(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/x\n")
    folder = tmp_path / "memory" / "x"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000\n")
    (folder / "memory.usage_in_bytes").write_text("6000\n")
    assert available_memory(tmp_path / "none", tmp_path / "proc", tmp_path) == 0


@pytest.mark.parametrize(
    ("cores", "memory_mib", "parameters", "expected"),
    [
        (2, 4000, {}, 2),
        (64, 100_000, {}, 16),
        (64, 100_000, {"max_sessions": "64"}, 64),
        (64, 4000, {}, 5),  # a quarter is 1000 MiB, a session takes twice the file's 100
        (4, 10, {}, 1),
    ],
)
def test_sessions_are_as_many_as_cores_the_cap_and_memory_allow(
    cores: int, memory_mib: int, parameters: dict, expected: int, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    with model.open("wb") as file:
        file.truncate(100 << 20)
    assert lanes(settings(parameters), cores, model, memory_mib * 2.0**20) == expected


def test_limits_are_the_parameters_of_the_configuration() -> None:
    given = {
        "max_queue_seconds": "0.5",
        "max_queue_requests": "7",
        "max_queue_bytes": "1000",
        "default_timeout_seconds": "9",
        "background_share": "0.2",
    }
    assert read_limits(settings(given)) == QueueLimits(0.5, 7, 1000, 9.0, 0.2)
    assert read_limits(settings()) == QueueLimits(2.0, 4096, 64 << 20, 60.0, 0.1)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "two", ""])
def test_a_limit_that_is_no_number_above_0_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="'max_queue_seconds' must be a number above 0, not"):
        read_limits(settings({"max_queue_seconds": value}))


def test_background_work_cannot_have_the_whole_server() -> None:
    with pytest.raises(ConfigError, match=r"'background_share' must be less than 1, not 1\.0"):
        read_limits(settings({"background_share": "1"}))


@pytest.mark.parametrize(
    ("parameters", "timeout_us", "expected"),
    [
        ("", 0, Asked()),
        ("{}", 500_000, Asked(timeout=0.5)),
        ('{"background": true, "other": "x"}', 0, Asked(background=True)),
        ('{"timeout": 250000}', 0, Asked(timeout=0.25)),
        ('{"timeout": 250000}', 1_000_000, Asked(timeout=1.0)),
    ],
)
def test_a_request_may_ask_for_the_background_and_set_a_deadline(
    parameters: str, timeout_us: int, expected: Asked
) -> None:
    assert read_parameters(parameters, timeout_us) == expected


@pytest.mark.parametrize("value", ["-5", '"soon"', "true", "[1]", "null"])
def test_a_deadline_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="'timeout' must be a number of microseconds above 0"):
        read_parameters(f'{{"timeout": {value}}}')


def test_background_is_true_or_false() -> None:
    with pytest.raises(RequestError, match="'background' must be true or false"):
        read_parameters('{"background": "yes"}')
