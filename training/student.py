"""A MobileBERT of any depth without its public weights: start, stem, growth and a fast training forward.

The *stem* is layer 0 with its attention and all but one feed-forward network switched off, under a
mean-pooled head. It learns in minutes. `grow` then turns the stem's weights into a deeper model whose added
parts start as the identity and whose last layer carries the mean-pooled logit to the first token, so that
`MobileBertForSequenceClassification` starts at the stem's score instead of at chance.

NoNorm (y = w*x + b) does not rescale activations as a LayerNorm does. So weights are initialised by fan-in:
with the library's default (normal, 0.02) the stream is nearly zero, and nothing is learnt for a long while.

    student = new_student(num_labels=2, depth=4, seed=17)
    head = nn.Linear(512, 2)
    ...                                                  # train stem_logits(student, head, ids, mask)
    grow(student, head, sample_ids, sample_mask)
    ...                                                  # train first_token_logits(student, ids, mask)

Architecture: Sun et al. (2020), "MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import MobileBertConfig, MobileBertForSequenceClassification

FloatArray = NDArray[np.float32]
LEAST_NORM = 0.06


def new_student(
    num_labels: int, depth: int, seed: int, vocab_size: int = 30522
) -> MobileBertForSequenceClassification:
    """MobileBERT with `depth` layers, fan-in initialisation, no dropout, zero position embeddings."""
    torch.manual_seed(seed)
    config = MobileBertConfig(
        vocab_size=vocab_size,
        num_hidden_layers=depth,
        classifier_activation=False,
        attention_probs_dropout_prob=0.0,
    )
    config.num_labels = num_labels
    model = MobileBertForSequenceClassification(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
    embeddings = model.mobilebert.embeddings
    nn.init.zeros_(embeddings.position_embeddings.weight)
    nn.init.zeros_(embeddings.token_type_embeddings.weight)
    return model


def principal_components(vectors: FloatArray, size: int) -> FloatArray:
    """`vectors` [words, wide] on their first `size` principal axes, at unit RMS: [words, size]."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    projected = centred @ axes[:, ::-1][:, :size]
    return (projected / np.sqrt((projected**2).mean())).astype(np.float32)


def set_word_embeddings(model: MobileBertForSequenceClassification, vectors: FloatArray) -> None:
    """Copy `vectors` [words, 128] into the word embeddings; [PAD] stays zero, as in an unpadded text."""
    table = model.mobilebert.embeddings.word_embeddings
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(vectors))
        table.weight[table.padding_idx] = 0


def _layers(model: MobileBertForSequenceClassification) -> list[Any]:
    return list(model.mobilebert.encoder.layer)


def mean_pool(stream: Tensor, mask: Tensor) -> Tensor:
    """Mean of `stream` [texts, tokens, width] over the tokens where `mask` [texts, tokens] is true."""
    weights = mask.to(stream.dtype)
    return torch.einsum("bsc,bs->bc", stream, weights) / weights.sum(dim=1, keepdim=True)


def stem_stream(model: MobileBertForSequenceClassification, input_ids: Tensor) -> Tensor:
    """Output [texts, tokens, 512] of the embeddings and layer 0 without attention, with one feed-forward."""
    embedded = model.mobilebert.embeddings(input_ids)
    layer = _layers(model)[0]
    narrow = layer.bottleneck.input(embedded)
    return layer.output(layer.intermediate(narrow), narrow, embedded)


def stem_terms(
    model: MobileBertForSequenceClassification,
    head: nn.Linear,
    token_head: nn.Linear,
    ids: Tensor,
    mask: Tensor,
) -> tuple[Tensor, Tensor]:
    """The stem's mean-pooled logits [texts, labels], and what `token_head` reads off each token."""
    stream = stem_stream(model, ids)
    return head(mean_pool(stream, mask)), token_head(stream)


def stem_logits(
    model: MobileBertForSequenceClassification, head: nn.Linear, input_ids: Tensor, mask: Tensor
) -> Tensor:
    """Mean-pooled logits [texts, labels] of the stem."""
    return head(mean_pool(stem_stream(model, input_ids), mask))


def first_token_logits(
    model: MobileBertForSequenceClassification, input_ids: Tensor, mask: Tensor, head: nn.Linear | None = None
) -> tuple[Tensor, Tensor | None]:
    """The model's logits [texts, labels], computing only the first token in the last layer.

    Equal to `model(input_ids, attention_mask=mask).logits`, with nearly one layer less of work: nothing reads
    the last layer's other tokens. With `head`, also the mean-pooled logits of the stream before it.
    """
    *layers, last = _layers(model)
    allowed = mask[:, None, None, :].bool()
    stream = model.mobilebert.embeddings(input_ids)
    for layer in layers:
        stream = layer(stream, allowed)
    query, key, value, narrow = last.bottleneck(stream)
    attended = _attend(last.attention.self, query[:, :1], key, value, allowed)
    hidden = last.attention.output(attended, narrow[:, :1])
    for feed_forward in last.ffn:
        hidden = feed_forward(hidden)
    first = last.output(last.intermediate(hidden), hidden, stream[:, :1])[:, 0]
    pooled = None if head is None else head(mean_pool(stream, mask))
    return model.classifier(model.dropout(first)), pooled


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """The layer's self-attention for fewer queries than keys; the library's module cannot do that."""

    def heads(projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)

    context = nn.functional.scaled_dot_product_attention(
        heads(attention.query(query)),
        heads(attention.key(key)),
        heads(attention.value(value)),
        attn_mask=allowed,
        scale=attention.scaling,
    )
    return context.transpose(1, 2).flatten(-2)


@torch.no_grad()
def grow(
    model: MobileBertForSequenceClassification, head: nn.Linear, sample_ids: Tensor, sample_mask: Tensor
) -> None:
    """Switch on what the stem left out, as the identity, and carry the pooled logit to the first token.

    Each feed-forward network, attention and output bottleneck that the stem did not use gets a zero output
    projection: with NoNorm at w = 1, b = 0 the part is then the identity, yet its gradient is not zero.
    `sample_ids`, `sample_mask`: a few hundred training texts; they give the stream's RMS (rescaled to 1) and
    the direction in which first tokens vary least, which becomes the channel of the pooled logit.
    """
    first, *added = _layers(model)
    for feed_forward in first.ffn:
        nn.init.zeros_(feed_forward.output.dense.weight)
    nn.init.zeros_(first.attention.output.dense.weight)
    for layer in added:
        nn.init.zeros_(layer.output.bottleneck.dense.weight)
    stream = _unit_rms_stream(model, head, sample_ids, sample_mask)
    _carry_pooled_logit(model, head, stream[:, 0])


@torch.no_grad()
def raise_norms(model: MobileBertForSequenceClassification, least: float = LEAST_NORM) -> int:
    """Raise norm weights below `least` to it, their signs kept; returns how many there were.

    A stem can silence channels of its output by weights of 1e-5, where half precision stores few digits.
    """
    raised = 0
    for name, weight in model.named_parameters():
        if name.endswith("LayerNorm.weight"):
            small = weight.abs() < least
            weight[small] = torch.where(weight[small] < 0, -least, least)
            raised += int(small.sum())
    return raised


def _unit_rms_stream(
    model: MobileBertForSequenceClassification, head: nn.Linear, sample_ids: Tensor, sample_mask: Tensor
) -> Tensor:
    stream = stem_stream(model, sample_ids)
    scale = 1 / stream[sample_mask.bool()].pow(2).mean().sqrt()
    norm = _layers(model)[0].output.bottleneck.LayerNorm
    norm.weight.mul_(scale)
    norm.bias.mul_(scale)
    head.weight.div_(scale)
    return stream * scale


def _carry_pooled_logit(
    model: MobileBertForSequenceClassification, head: nn.Linear, first_tokens: Tensor
) -> None:
    """Near-uniform attention averages `head`'s logit per token, and writes it along a quiet direction.

    With value channels z_j = W_j h (one block of channels per attention head, 1/heads of the sum each), the
    attention's mean over tokens is the pooled logit, the feed-forwards pass it on, and the output bottleneck
    adds z_j * d_j to the first token's stream. The classifier reads d_j, less the mean that was there.
    """
    last = _layers(model)[-1]
    labels, heads = head.out_features, model.config.num_attention_heads
    size = model.config.true_hidden_size // heads
    attention, narrow = last.attention, last.bottleneck.input
    for projection in (attention.self.query, attention.self.key):
        projection.weight.mul_(0.25)
    attention.output.dense.weight.mul_(0.1)
    attention.output.dense.weight[:labels] = 0
    narrow.dense.weight[:labels] = 0
    for feed_forward in last.ffn:
        nn.init.zeros_(feed_forward.output.dense.weight)
    nn.init.zeros_(last.output.dense.weight)
    scale = 1 / head.weight.pow(2).sum(dim=1).sqrt().clamp_min(1e-6)  # a head that learnt nothing is zero
    for j in range(labels):
        for k in range(heads):
            attention.self.value.weight[k * size + j] = head.weight[j] * scale[j]
            attention.output.dense.weight[j, k * size + j] = 1 / heads
    _, axes = torch.linalg.eigh(torch.cov(first_tokens.float().T))
    quiet = axes[:, :labels].T
    last.output.bottleneck.dense.weight[:, :labels] = quiet.T
    model.classifier.weight.copy_(quiet / scale[:, None])
    model.classifier.bias.copy_(head.bias - model.classifier.weight @ first_tokens.mean(dim=0))
