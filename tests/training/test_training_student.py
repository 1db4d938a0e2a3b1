"""The fast forward equals transformers', and growth keeps the stem's answers."""

import pytest
import torch
from torch import Tensor, nn

from training.student import (
    first_token_logits,
    grow,
    mean_pool,
    new_student,
    principal_components,
    raise_norms,
    set_word_embeddings,
    stem_logits,
    stem_stream,
    stem_terms,
)

VOCABULARY = 200
LENGTHS = (5, 17, 30, 3)


def batch(seed: int = 0, lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(110, VOCABULARY, mask.shape, generator=generator)
    ids[:, 0] = 101
    return ids * mask, mask


@pytest.fixture
def student() -> nn.Module:
    return new_student(num_labels=3, depth=3, seed=1, vocab_size=VOCABULARY).eval()


@torch.no_grad()
def test_fast_forward_equals_transformers_on_padded_batches(student: nn.Module) -> None:
    ids, mask = batch()
    expected = student(input_ids=ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(first_token_logits(student, ids, mask)[0], expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.1  # fan-in initialisation: the answers differ from text to text


@torch.no_grad()
def test_padding_does_not_change_a_text(student: nn.Module) -> None:
    set_word_embeddings(student, torch.randn(VOCABULARY, 128).numpy())
    ids, mask = batch()
    logits, _ = first_token_logits(student, ids, mask)
    for row, length in enumerate(LENGTHS):
        alone = student(input_ids=ids[row : row + 1, :length]).logits[0]
        torch.testing.assert_close(logits[row], alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_mean_pool_is_the_mean_over_real_tokens() -> None:
    stream = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    expected = torch.stack([stream[0, :2].mean(dim=0), stream[1].mean(dim=0)])
    torch.testing.assert_close(mean_pool(stream, mask), expected)


@torch.no_grad()
def test_grown_model_starts_with_the_answers_of_its_stem() -> None:
    student = new_student(num_labels=2, depth=4, seed=2, vocab_size=VOCABULARY).eval()
    set_word_embeddings(student, torch.randn(VOCABULARY, 128, generator=torch.manual_seed(0)).numpy())
    head = nn.Linear(512, 2)
    head.weight.mul_(3)
    ids, mask = batch(5, tuple(range(20, 60)))
    stem = stem_logits(student, head, ids, mask)
    grow(student, head, ids, mask)
    grown, pooled = first_token_logits(student, ids, mask, head)
    torch.testing.assert_close(pooled, stem, atol=1e-3, rtol=1e-3)
    margins = torch.stack([stem[:, 1] - stem[:, 0], grown[:, 1] - grown[:, 0]])
    assert torch.corrcoef(margins)[0, 1] > 0.95
    assert (stem.argmax(dim=1) == grown.argmax(dim=1)).float().mean() >= 0.9


def test_small_norm_weights_are_raised_with_their_signs_and_others_stay() -> None:
    student = new_student(2, 2, 17, vocab_size=50)
    norm = student.mobilebert.encoder.layer[0].output.bottleneck.LayerNorm
    with torch.no_grad():
        norm.weight[:4] = torch.tensor([1e-6, -1e-3, 0.0, -0.5])
    assert raise_norms(student, 0.1) == 3
    assert norm.weight[:4].tolist() == pytest.approx([0.1, -0.1, 0.1, -0.5])
    assert (norm.weight[4:] == 1).all()
    assert raise_norms(student, 0.1) == 0


def test_every_part_of_a_grown_model_learns() -> None:
    student = new_student(num_labels=2, depth=3, seed=3, vocab_size=VOCABULARY)
    head = nn.Linear(512, 2)
    ids, mask = batch(1, tuple(range(20, 40)))
    grow(student, head, ids, mask)
    optimizer = torch.optim.SGD(student.parameters(), lr=1e-2)
    for _ in range(2):  # zero projections pass no gradient on until they have moved
        optimizer.zero_grad()
        first_token_logits(student, ids, mask)[0].square().sum().backward()
        optimizer.step()
    still = {name for name, p in student.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not {name for name in still if "weight" in name}


def test_principal_components_keep_the_geometry_of_a_flat_cloud() -> None:
    flat = torch.randn(50, 4) @ torch.randn(4, 20) + 7
    projected = torch.from_numpy(principal_components(flat.numpy(), 4))
    ratio = torch.cdist(projected, projected) / torch.cdist(flat, flat).clamp_min(1e-6)
    distinct = ~torch.eye(50, dtype=torch.bool)
    assert ratio[distinct].std() / ratio[distinct].mean() < 1e-2
    assert projected.square().mean().item() == pytest.approx(1, rel=1e-4)


@torch.no_grad()
def test_terms_are_read_off_each_token_and_pool_to_the_logits(student: nn.Module) -> None:
    ids, mask = batch()
    head, token_head = nn.Linear(512, 3), nn.Linear(512, 5)
    logits, terms = stem_terms(student, head, token_head, ids, mask)
    torch.testing.assert_close(logits, stem_logits(student, head, ids, mask))
    torch.testing.assert_close(terms[2, 7], token_head(stem_stream(student, ids)[2, 7]))
