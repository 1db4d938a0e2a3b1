"""The name by which an ensemble asks the tokenizer for ids: it says which model will read them.

So the tokenizer can refuse at once for a model whose queue is full: serving/onnxruntime_backend/busy_flag.py.
"""

import re
from collections.abc import Iterable
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

IDS, IDS_FOR = "input_ids", "input_ids_for_"
# Of an ensemble's text: the model's step has input_ids, too, but in its input_map.
_ASKED = re.compile(rf'(\boutput_map\s*\{{\s*key:\s*"){IDS}(?:_for_\w+)?"')


def add_ids_outputs(config: ModelConfig, models: Iterable[str]) -> None:
    """Give the tokenizer's configuration an output of ids for each model."""
    [ids] = [each for each in config.output if each.name == IDS]
    for model in models:
        config.output.add(name=f"{IDS_FOR}{model}", data_type=ids.data_type, dims=ids.dims)


def asked_name(step: Any) -> str:
    """The name by which an ensemble's step asks for ids; empty where it asks for none, or more than once."""
    names = [name for name in step.output_map if name == IDS or name.startswith(IDS_FOR)]
    return names[0] if len(names) == 1 else ""


def ask_by(step: Any, name: str) -> None:
    """Have a step that asks for ids do so by this name."""
    if before := asked_name(step):
        tensor = step.output_map.pop(before)
        step.output_map[name] = tensor


def renamed(text: str, config: ModelConfig) -> str:
    """An ensemble's text with the name that `config` has."""
    for name in filter(None, map(asked_name, config.ensemble_scheduling.step)):
        text = _ASKED.sub(rf'\g<1>{name}"', text)
    return text
