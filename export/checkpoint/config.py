"""The fields of a MobileBERT config.json that shape the graph, and clear refusals for what it cannot hold.

Source of names, defaults and meaning: transformers' MobileBertConfig.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from export.checkpoint.labels import read_labels
from export.errors import CheckpointError


@dataclass(frozen=True)
class ModelConfig:
    """The supported part of MobileBertConfig.

    labels: id2label in the order of the logits.
    threshold: the probability from which a label of a multi-label model counts; not a field of transformers.
    """

    labels: tuple[str, ...]
    problem_type: str = "single_label_classification"
    threshold: float = 0.5
    vocab_size: int = 30522
    hidden_size: int = 512
    num_hidden_layers: int = 24
    num_attention_heads: int = 4
    intermediate_size: int = 512
    embedding_size: int = 128
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    pad_token_id: int = 0
    intra_bottleneck_size: int = 128
    num_feedforward_networks: int = 4
    trigram_input: bool = True
    use_bottleneck_attention: bool = False
    key_query_shared_bottleneck: bool = True
    classifier_activation: bool = True

    @property
    def head_size(self) -> int:
        return self.intra_bottleneck_size // self.num_attention_heads

    @property
    def transforms_embeddings(self) -> bool:
        """Whether the checkpoint has an embedding_transformation between word embeddings and stream."""
        return self.trigram_input or self.embedding_size != self.hidden_size


# Field -> (the only value the graph holds, transformers' default, what a user can do about another value).
_PLAIN = "a plain export (`optimum-cli export onnx --model FOLDER OUT`) serves it, without folding or int8"
_REQUIRED: dict[str, tuple[Any, Any, str]] = {
    "model_type": (
        "mobilebert",
        None,
        "only mobilebert is supported, because the graph is made of MobileBERT's own parts (bottlenecks, "
        f"norms that fold, stacked feed-forwards), which BERT, DistilBERT or MiniLM lack; {_PLAIN}",
    ),
    "normalization_type": (
        "no_norm",
        "no_norm",
        f"only no_norm is supported, because a norm with statistics cannot fold; {_PLAIN}, or fine-tune "
        "google/mobilebert-uncased, which has no_norm",
    ),
    "use_bottleneck": (
        True,
        True,
        f"only true is supported; {_PLAIN}, or fine-tune google/mobilebert-uncased, which has bottlenecks",
    ),
    "hidden_act": (
        "relu",
        "relu",
        "only relu is supported, because half precision and int8 scale through it; "
        f"{_PLAIN}, or fine-tune google/mobilebert-uncased, which has relu",
    ),
}
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
_ARCHITECTURE = "MobileBertForSequenceClassification"
_MAY_BE_ZERO = {"num_hidden_layers", "pad_token_id"}


def parse_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Read the parsed config.json `raw`.

    Raises:
        CheckpointError: a field holds a value that the graph does not support.
    """
    _refuse_unsupported(raw)
    known = {field.name for field in fields(ModelConfig)} - {"labels", "problem_type"}
    labels = read_labels(raw)
    given = {name: raw[name] for name in known if raw.get(name) is not None}
    config = ModelConfig(labels=labels, problem_type=_problem_type(raw, len(labels)), **given)
    _check_numbers(config)
    return config


def _refuse_unsupported(raw: Mapping[str, Any]) -> None:
    for field, (wanted, default, advice) in _REQUIRED.items():
        if raw.get(field, default) != wanted:
            raise CheckpointError(f"config.json: {field} is {raw.get(field, default)!r}: {advice}")
    architectures = raw.get("architectures") or [_ARCHITECTURE]
    if _ARCHITECTURE not in architectures:
        raise CheckpointError(f"config.json: architectures is {architectures}: fine-tune {_ARCHITECTURE}")


def _problem_type(raw: Mapping[str, Any], labels: int) -> str:
    """The head. Where the file does not name it, a single label means a regression, as in transformers."""
    default = "regression" if labels == 1 else "single_label_classification"
    given = raw.get("problem_type") or default
    if given not in PROBLEM_TYPES:
        raise CheckpointError(
            f"config.json: problem_type is {given!r}: it must be one of {', '.join(PROBLEM_TYPES)}"
        )
    if given == "single_label_classification" and labels == 1:
        raise CheckpointError(
            "config.json: problem_type is single_label_classification with one label in id2label, whose "
            "probability would always be 1: write regression for a score, or multi_label_classification for "
            "a probability"
        )
    return given


def _check_numbers(config: ModelConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.type is int:
            least = 0 if field.name in _MAY_BE_ZERO else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise CheckpointError(
                    f"config.json: {field.name} is {value!r}: it must be an integer >= {least}"
                )
        if field.type is bool and not isinstance(value, bool):
            raise CheckpointError(f"config.json: {field.name} is {value!r}: it must be true or false")
    if isinstance(config.threshold, bool) or not isinstance(config.threshold, float | int):
        raise CheckpointError(f"config.json: threshold is {config.threshold!r}: it must be a number")
    if not 0 < config.threshold < 1:
        raise CheckpointError(f"config.json: threshold is {config.threshold}: it must lie between 0 and 1")
    if config.pad_token_id >= config.vocab_size:
        raise CheckpointError("config.json: pad_token_id must be smaller than vocab_size")
    if config.intra_bottleneck_size % config.num_attention_heads:
        raise CheckpointError("config.json: num_attention_heads must divide intra_bottleneck_size")
    unshared = not config.use_bottleneck_attention and not config.key_query_shared_bottleneck
    if unshared and config.intra_bottleneck_size != config.hidden_size:
        raise CheckpointError(
            "config.json: key_query_shared_bottleneck is false: hidden_size must equal intra_bottleneck_size "
            "(transformers cannot run other checkpoints either)"
        )
