"""Floating point operations that MobileBERT needs for real tokens: multiply-adds of its matrices, times two.

Padding is not useful work, so it never counts: a contestant that pads reaches a smaller share.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """The sizes of MobileBERT that its cost depends on (names as in config.json)."""

    hidden_size: int
    embedding_size: int
    intra_bottleneck_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_feedforward_networks: int
    trigram_input: bool = True

    @classmethod
    def of_checkpoint(cls, folder: Path) -> "Shape":
        """Read the sizes from ``folder``/config.json; MobileBertConfig's defaults fill what is absent."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(
            hidden_size=config.get("hidden_size", 512),
            embedding_size=config.get("embedding_size", 128),
            intra_bottleneck_size=config.get("intra_bottleneck_size", 128),
            intermediate_size=config.get("intermediate_size", 512),
            num_hidden_layers=config.get("num_hidden_layers", 24),
            num_feedforward_networks=config.get("num_feedforward_networks", 4),
            trigram_input=config.get("trigram_input", True),
        )


def linear_flops_per_token(shape: Shape) -> int:
    """Dense layers of one token: 2 * inputs * outputs each (source: transformers' MobileBertModel)."""
    wide, narrow, inner = shape.hidden_size, shape.intra_bottleneck_size, shape.intermediate_size
    embedding = shape.embedding_size * (3 if shape.trigram_input else 1) * wide
    bottlenecks = 2 * wide * narrow  # the layer's input, and the shared query and key
    attention = 2 * narrow * narrow + wide * narrow + narrow * narrow  # query and key, value, output
    feed_forward = shape.num_feedforward_networks * 2 * narrow * inner
    layer = bottlenecks + attention + feed_forward + narrow * wide
    return 2 * (embedding + shape.num_hidden_layers * layer)


def attention_flops(shape: Shape, tokens: int) -> int:
    """Scores and weighted values of one text: a layer has 2 products of tokens * tokens * bottleneck."""
    return shape.num_hidden_layers * 2 * 2 * tokens * tokens * shape.intra_bottleneck_size


def text_flops(shape: Shape, tokens: int) -> int:
    """All matrix operations of one text of ``tokens`` tokens, specials included."""
    return linear_flops_per_token(shape) * tokens + attention_flops(shape, tokens)
