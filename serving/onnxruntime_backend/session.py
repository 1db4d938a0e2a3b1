"""An ONNX Runtime session as the model configuration asks for it."""

from pathlib import Path

import onnxruntime as ort

from serving.onnxruntime_backend.settings import ConfigError, ModelSettings

# `optimization { graph { level } }`: the C++ backend's own numbering; anything else means "all".
GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
EXECUTION_MODES = {0: ort.ExecutionMode.ORT_SEQUENTIAL, 1: ort.ExecutionMode.ORT_PARALLEL}
ACCELERATORS = {"openvino": "OpenVINOExecutionProvider"}
MAX_SESSIONS, MEMORY_SHARE = 16, 0.25
# Memory of a session, in sizes of the model file: measured 0.95 for fp32 and 1.4 for int8 at 24 layers,
# without buffers.
COPY = 2
SHRINKAGE = "memory.enable_memory_arena_shrinkage"
# The key in a model's metadata: the id that it drops at the end of a row.
PADDING_ID = "padding_id"
# Numbers below 1e-38 are zero. A processor takes a hundred times as long for them, and softmax makes many of
# them where scores lie far apart. ONNX Runtime sets this for the thread that opens a process's first session;
# threads that this one starts later inherit it.
DENORMAL_AS_ZERO = "session.set_denormal_as_zero"
DEVICE_ALLOCATOR = "session.use_device_allocator_for_initializers"


def open_session(
    path: Path, settings: ModelSettings, kind: str = "CPU", device: int = 0, threads: int = 1
) -> ort.InferenceSession:
    """Load the model file for runs on so many threads; `kind` is the instance's, CPU or GPU.

    Raises ConfigError when it cannot be served.
    """
    if not path.is_file():
        raise ConfigError(f"{settings.name}: there is no {path.name} in version folder {path.parent.name}")
    try:
        return ort.InferenceSession(
            path,
            session_options(settings, threads),
            providers=providers(settings, kind, device, ort.get_available_providers()),
        )
    except ort.capi.onnxruntime_pybind11_state.Fail as error:
        raise ConfigError(
            f"{settings.name}: ONNX Runtime {ort.__version__} cannot load {path.name}: {error}"
        ) from None


def session_options(settings: ModelSettings, threads: int) -> ort.SessionOptions:
    """Session options for runs on so many threads. Raises ConfigError for a parameter out of range."""
    options = ort.SessionOptions()
    options.graph_optimization_level = GRAPH_LEVELS.get(
        settings.graph_level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    )
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = settings.number("inter_op_thread_count")
    options.execution_mode = _execution_mode(settings)
    arena, pattern = settings.flag("enable_mem_arena"), settings.flag("enable_mem_pattern")
    options.enable_cpu_mem_arena = options.enable_cpu_mem_arena if arena is None else arena
    options.enable_mem_pattern = options.enable_mem_pattern if pattern is None else pattern
    options.add_session_config_entry(DENORMAL_AS_ZERO, "1")
    if DEVICE_ALLOCATOR in settings.parameters:
        options.add_session_config_entry(DEVICE_ALLOCATOR, settings.parameters[DEVICE_ALLOCATOR])
    return options


def intra_op_threads(settings: ModelSettings, cores: int) -> int:
    """The count that the configuration sets, or (0 or absent) an even share of the cores for each instance.

    ONNX Runtime's default is every core for every session, so instances would disturb each other. It also
    counts the machine's cores, not a container's.
    """
    wanted = settings.number("intra_op_thread_count")
    return wanted if wanted > 0 else max(1, cores // settings.instances)


def lanes(settings: ModelSettings, threads: int, path: Path, memory: float) -> int:
    """How many sessions may run side by side, at least one; each gets an even share of the threads.

    Every session holds a copy of the weights of about the model file's size, and buffers. So there are at
    most `max_sessions` (16), and at most what fits into a quarter of the available `memory` (bytes).
    """
    wanted = settings.positive("max_sessions", MAX_SESSIONS)
    size = path.stat().st_size if path.is_file() else 1  # a missing file is reported when it is opened
    affordable = memory * MEMORY_SHARE / settings.instances / (COPY * max(1, size))
    return max(1, int(min(threads, wanted, affordable)))


def padding_id(session: ort.InferenceSession) -> int | None:
    """The id that the model drops at the end of a row; None where it does not say."""
    text = session.get_modelmeta().custom_metadata_map.get(PADDING_ID, "")
    return int(text) if text.isdecimal() else None


def _execution_mode(settings: ModelSettings) -> ort.ExecutionMode:
    mode = settings.number("execution_mode")
    if mode not in EXECUTION_MODES:
        raise ConfigError(f"{settings.name}: parameter 'execution_mode' must be 0 or 1, not {mode}")
    return EXECUTION_MODES[mode]


def providers(
    settings: ModelSettings, kind: str, device: int, available: list[str]
) -> list[tuple[str, dict[str, str]]]:
    """Execution providers in order of preference, the CPU's last.

    Raises ConfigError for one that is not installed.
    """
    wanted: list[tuple[str, dict[str, str]]] = []
    if kind == "GPU":
        wanted.append(("CUDAExecutionProvider", {"device_id": str(device)}))
    for name in settings.accelerators:
        if name not in ACCELERATORS:
            raise ConfigError(f"{settings.name}: unknown execution accelerator '{name}'")
        wanted.append((ACCELERATORS[name], {}))
    for provider, _ in wanted:
        if provider not in available:
            raise ConfigError(f"{settings.name}: the installed onnxruntime has no {provider}")
    return [*wanted, ("CPUExecutionProvider", {})]


def run_options(settings: ModelSettings) -> ort.RunOptions | None:
    """Options of every run, None for the defaults."""
    if SHRINKAGE not in settings.parameters:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(SHRINKAGE, settings.parameters[SHRINKAGE])
    return options
