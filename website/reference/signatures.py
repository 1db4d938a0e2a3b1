"""What each model of the repository takes and gives, from its configuration."""

from collections.abc import Iterator

from tritonclient.grpc import model_config_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.publishing.generator import configurations
from website.reference.markdown import code, paragraphs, table, text


def all_models() -> str:
    """A section for each model, the ensembles first."""
    found = sorted(configurations().values(), key=lambda config: (config.platform != "ensemble", config.name))
    return paragraphs(*(part for config in found for part in _section(config)))


def _section(config: ModelConfig) -> Iterator[str]:
    yield f"### {config.name}"
    kind = "An ensemble" if config.platform == "ensemble" else f"Backend `{config.backend}`"
    yield f"{kind}; at most {config.max_batch_size} rows a request."
    rows = [_tensor("input", each) for each in config.input] + [
        _tensor("output", each) for each in config.output
    ]
    yield table(["tensor", "", "type", "shape of a row"], rows)
    steps = [f"`{step.model_name}`" for step in config.ensemble_scheduling.step]
    yield f"Steps: {', then '.join(steps)}." if steps else ""
    parameters = [[code(name), code(each.string_value)] for name, each in sorted(config.parameters.items())]
    yield table(["parameter", "value"], parameters)


def _tensor(direction: str, tensor: model_config_pb2.ModelInput | model_config_pb2.ModelOutput) -> list[str]:
    dims = ", ".join("any" if size == -1 else str(size) for size in tensor.dims)
    kind = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    return [code(tensor.name), direction, text(kind), f"[{dims}]"]
