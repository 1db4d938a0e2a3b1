"""The parameters that the graph reads: their names, as transformers has them, and their shapes."""

from collections.abc import Iterator

from export.checkpoint.config import ModelConfig

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def expected_shapes(config: ModelConfig) -> Shapes:
    """Names and shapes of all parameters of a classifier of this configuration."""
    c, base = config, "mobilebert.embeddings"
    yield f"{base}.word_embeddings.weight", (c.vocab_size, c.embedding_size)
    yield f"{base}.position_embeddings.weight", (c.max_position_embeddings, c.hidden_size)
    yield f"{base}.token_type_embeddings.weight", (c.type_vocab_size, c.hidden_size)
    if c.transforms_embeddings:
        width = c.embedding_size * (3 if c.trigram_input else 1)
        yield from _dense(f"{base}.embedding_transformation", c.hidden_size, width)
    yield from _norm(f"{base}.LayerNorm", c.hidden_size)
    for index in range(c.num_hidden_layers):
        yield from _layer_shapes(config, f"mobilebert.encoder.layer.{index}")
    if c.classifier_activation:
        yield from _dense("mobilebert.pooler.dense", c.hidden_size, c.hidden_size)
    yield from _dense("classifier", len(c.labels), c.hidden_size)


def _layer_shapes(config: ModelConfig, base: str) -> Shapes:
    wide, narrow, middle = config.hidden_size, config.intra_bottleneck_size, config.intermediate_size
    bottlenecks = ["input", "attention"] if config.key_query_shared_bottleneck else ["input"]
    for bottleneck in bottlenecks:
        yield from _dense(f"{base}.bottleneck.{bottleneck}.dense", narrow, wide)
        yield from _norm(f"{base}.bottleneck.{bottleneck}.LayerNorm", narrow)
    yield from _dense(f"{base}.attention.self.query", narrow, narrow)
    yield from _dense(f"{base}.attention.self.key", narrow, narrow)
    yield from _dense(
        f"{base}.attention.self.value", narrow, narrow if config.use_bottleneck_attention else wide
    )
    yield from _dense(f"{base}.attention.output.dense", narrow, narrow)
    yield from _norm(f"{base}.attention.output.LayerNorm", narrow)
    for block in [f"{base}.ffn.{i}" for i in range(config.num_feedforward_networks - 1)] + [base]:
        yield from _dense(f"{block}.intermediate.dense", middle, narrow)
        yield from _dense(f"{block}.output.dense", narrow, middle)
        yield from _norm(f"{block}.output.LayerNorm", narrow)
    yield from _dense(f"{base}.output.bottleneck.dense", wide, narrow)
    yield from _norm(f"{base}.output.bottleneck.LayerNorm", wide)


def _dense(name: str, outputs: int, inputs: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
