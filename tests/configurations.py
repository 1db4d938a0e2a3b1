"""What `make export` makes of the templates, without a repository."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.publishing.generator import SOURCES, configuration


def config_of(model: str) -> ModelConfig:
    """A model's config.pbtxt before anything is published."""
    return next(configuration(source) for source in SOURCES if source.model == model and not source.name)
