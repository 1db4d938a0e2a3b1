"""Reads the inputs or outputs that a configuration leaves out from the model, as the C++ backend does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from serving.onnxruntime_backend.signature import complete_config


def complete(target: Any, config: Mapping[str, Any]) -> Any:
    """Add what is missing to Triton's `ModelConfig` object `target`, whose JSON form is `config`."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])
    completed = complete_config(config, session.get_inputs(), session.get_outputs())
    target.set_max_batch_size(completed.max_batch_size)
    for entry in completed.inputs:
        target.add_input(entry)
    for entry in completed.outputs:
        target.add_output(entry)
    if completed.max_batch_size > 1 and not config.get("sequence_batching"):
        target.set_dynamic_batching()
    return target


def model_path(command_line: Path = Path("/proc/self/cmdline")) -> Path:
    """The model file that Triton chose: it is this process's first argument, and nowhere else."""
    return Path(command_line.read_bytes().split(b"\0")[1].decode())
