"""The repository's configurations and warm-up inputs, made of `templates/` by protobuf; reads no repository.

for source in SOURCES:
    config = configuration(source)     # ModelConfig, as before anything is published
    inputs = warmup_inputs(config)     # files that its model_warmup names
configurations()["sentiment"]          # the same by model, of config.pbtxt alone
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from export.publishing.ids_name import add_ids_outputs
from export.publishing.pins import read_config

TEMPLATES = Path(__file__).parent / "templates"
TOKENIZER = "mobilebert_tokenizer"
_SENTENCE = "A warm, funny and clever film; I didn't want it to end."
_VOCABULARY = 90  # warm-up ids stay below the size of any vocabulary


@dataclass(frozen=True)
class Source:
    """What one configuration is made of: templates, each on top of the one before.

    name: of `configs/<name>.pbtxt`, for --model-config-name; empty for config.pbtxt.
    network: the model that an ensemble's last step runs.
    """

    model: str
    templates: tuple[str, ...]
    name: str = ""
    network: str = ""

    @property
    def file(self) -> str:
        """The configuration's place in the model's folder."""
        return f"configs/{self.name}.pbtxt" if self.name else "config.pbtxt"


def _onnx(model: str) -> Source:
    return Source(model, ("onnx.pbtxt",))


def _onnx_on_gpu(model: str) -> Source:
    return Source(model, ("onnx.pbtxt", "onnx.gpu.pbtxt"), "gpu")


def _ensemble(model: str, network: str, name: str = "") -> Source:
    return Source(model, ("ensemble.pbtxt",), name, network)


SOURCES = (
    Source(TOKENIZER, ("tokenizer.pbtxt",)),
    Source(TOKENIZER, ("tokenizer.pbtxt", "tokenizer.gpu.pbtxt"), "gpu"),
    _onnx("mobilebert_fp32"),
    _onnx_on_gpu("mobilebert_fp32"),
    _onnx("mobilebert_fp16"),
    _onnx_on_gpu("mobilebert_fp16"),
    _onnx("mobilebert_int8"),
    _ensemble("sentiment", "mobilebert_fp32"),
    # int8 is what a CPU is fast at, half precision what a GPU is.
    _ensemble("sentiment_fast", "mobilebert_int8"),
    _ensemble("sentiment_fast", "mobilebert_fp16", "gpu"),
)


def configuration(source: Source) -> ModelConfig:
    """The configuration before a version is published: pinned to 1, with the outputs of one label a text."""
    config = ModelConfig()
    for template in source.templates:
        lay_over(config, read_config(TEMPLATES / template))
    config.name = source.model
    if source.model == TOKENIZER:
        add_ids_outputs(config, dict.fromkeys(each.network for each in SOURCES if each.network))
    if source.network:
        config.ensemble_scheduling.step[-1].model_name = source.network
    return config


def configurations() -> dict[str, ModelConfig]:
    """What every config.pbtxt is before a version is published, by its model."""
    return {source.model: configuration(source) for source in SOURCES if not source.name}


def lay_over(config: ModelConfig, overlay: ModelConfig) -> None:
    """Merge `overlay` into `config`; a list or map that it names replaces the one there, as a whole."""
    for field, _ in overlay.ListFields():
        if field.is_repeated:
            config.ClearField(field.name)
    config.MergeFrom(overlay)


def warmup_inputs(config: ModelConfig) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in `warmup/` that the configuration names."""
    for sample in config.model_warmup:
        for value in sample.inputs.values():
            if value.data_type == DataType.Value("TYPE_STRING"):
                content = len(_SENTENCE).to_bytes(4, "little") + _SENTENCE.encode("ascii")
            else:
                content = (np.arange(prod(value.dims)) % _VOCABULARY + 1).astype("<i8").tobytes()
            yield value.input_data_file, content
