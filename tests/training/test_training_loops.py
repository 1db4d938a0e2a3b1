"""Batches hold every text once; an interrupted training ends where an uninterrupted one does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.loops import Schedule, Task, fit, mask_words, mean_of_best_and_last, predict
from training.losses import soft_loss
from training.token_batches import length_batches, pad_batch, pad_values

LENGTHS = np.random.default_rng(0).integers(3, 70, 40)
TEXTS = [np.random.default_rng(i).integers(1000, 1050, n) for i, n in enumerate(LENGTHS)]


@pytest.mark.parametrize("seed", [None, 1])
def test_batches_hold_every_text_once_within_the_budget(seed: int | None) -> None:
    generator = None if seed is None else np.random.default_rng(seed)
    batches = length_batches(LENGTHS.tolist(), 256, generator)
    assert sorted(row for batch in batches for row in batch) == list(range(len(LENGTHS)))
    assert all(pad_batch([TEXTS[row] for row in batch])[0].numel() <= 256 for batch in batches)


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    assert sorted(length_batches([5, 300, 5], 64)) == [[0, 2], [1]]


def test_padding_is_masked() -> None:
    ids, mask = pad_batch([np.array([7, 8, 9]), np.array([5])])
    assert ids.shape == (2, 16)
    assert ids[0, :4].tolist() == [7, 8, 9, 0]
    assert mask.sum(dim=1).tolist() == [3, 1]


def test_values_are_padded_like_their_tokens() -> None:
    padded = pad_values([np.ones((3, 2), np.float16), np.full((1, 2), 5.0)], 16)
    assert padded.shape == (2, 16, 2)
    assert padded.dtype == torch.float32
    assert padded.sum(dim=(1, 2)).tolist() == [6, 10]
    assert padded[1, 0].tolist() == [5, 5]


def test_the_loss_sees_each_tokens_target_beside_its_token(tmp_path: Path) -> None:
    model, seen = small_model(), []
    token_targets = [np.stack([text, -text], axis=1).astype(np.float32) for text in TEXTS]

    def loss(ids: Tensor, mask: Tensor, target: Tensor, values: Tensor) -> Tensor:
        seen.append(bool((values[..., 0] == ids).all()) and bool((values[..., 1] == -ids).all()))
        return soft_loss(model["head"]((model["words"](ids) * mask[..., None]).mean(dim=1)), target)

    task = Task(TEXTS, np.zeros((len(TEXTS), 2), np.float32), 256, 0.0, 3, token_targets)
    fit(model, loss, task, Schedule(2000, 1e-2), lambda: 0.0, tmp_path / "state.pt")
    assert seen
    assert all(seen)


def test_masking_spares_special_tokens_and_padding() -> None:
    ids = torch.tensor([[101, 2000, 102, 0]])
    assert mask_words(ids, 1.0, torch.Generator()).tolist() == [[101, 103, 102, 0]]
    assert mask_words(ids, 0.0, torch.Generator()).tolist() == ids.tolist()


def test_soft_loss_is_least_at_the_teacher() -> None:
    teacher = torch.tensor([[1.0, -1.0], [0.3, 0.1]])
    losses = [soft_loss(teacher + shift * torch.tensor([1.0, -1.0]), teacher) for shift in (-0.2, 0, 0.2)]
    assert losses[1] < min(losses[0], losses[2])


def small_model() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"words": nn.Embedding(2000, 8), "head": nn.Linear(8, 2)})


def run(state: Path, tokens: int, model: nn.ModuleDict) -> list[dict[str, float]]:
    def logits_of(ids: Tensor, mask: Tensor) -> Tensor:
        return model["head"]((model["words"](ids) * mask[..., None]).mean(dim=1))

    targets = np.stack([-LENGTHS / 35 + 1, LENGTHS / 35 - 1], axis=1).astype(np.float32)
    task = Task(TEXTS, targets, token_budget=256, masking=0.1, seed=3)
    schedule = Schedule(tokens, 1e-2, evaluate_every=5, warmup_steps=2)

    def negative_error() -> float:
        return -float(np.abs(predict(logits_of, TEXTS) - targets).mean())

    return fit(
        model, lambda ids, mask, t: soft_loss(logits_of(ids, mask), t), task, schedule, negative_error, state
    )


def test_interrupted_training_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = small_model(), small_model()
    history = run(tmp_path / "whole.pt", 6000, whole)
    assert history[-1]["f1"] > history[0]["f1"]
    original, calls = nn.utils.clip_grad_norm_, []

    def stop_at_the_thirteenth_step(*arguments: object) -> Tensor:
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", stop_at_the_thirteenth_step)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "halves.pt", 6000, halves)
    monkeypatch.undo()
    resumed = small_model()
    assert run(tmp_path / "halves.pt", 6000, resumed) == history
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)


def test_the_mean_lies_between_the_best_and_the_last_weights(tmp_path: Path) -> None:
    model = small_model()
    run(tmp_path / "state.pt", 4000, model)
    saved = torch.load(tmp_path / "state.pt")
    for name, mean in mean_of_best_and_last(tmp_path / "state.pt").items():
        torch.testing.assert_close(2 * mean, saved["best"][name] + saved["modules"][name])


def test_the_best_weights_are_kept_even_if_they_are_the_first(tmp_path: Path) -> None:
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scores = iter([0.9, *[0.1] * 100])
    targets = np.zeros((len(TEXTS), 2), np.float32)
    task = Task(TEXTS, targets, token_budget=256, masking=0.0, seed=3)
    fit(
        model,
        lambda ids, mask, t: soft_loss(model["head"](model["words"](ids).mean(dim=1)), t),
        task,
        Schedule(2000, 1e-2),
        lambda: next(scores),
        tmp_path / "state.pt",
    )
    for name, tensor in before.items():
        torch.testing.assert_close(model.state_dict()[name], tensor)
