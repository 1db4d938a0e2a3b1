"""The training loop of `distill.py`: soft targets, token batches, linear decay, exact resumption.

task = Task(texts, targets, token_budget=8192, masking=0.1, seed=17)
schedule = Schedule(tokens=20_000_000, learning_rate=1.5e-3)
fit(modules, loss_of, task, schedule, evaluate, Path("runs/x/stem.pt"))
logits = predict(logits_of, texts)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

import durable
from training.precision import autocast
from training.token_batches import TokenIds, length_batches, pad_batch, pad_values

FloatArray = NDArray[np.float32]
LogitsOf = Callable[[Tensor, Tensor], Tensor]
LossOf = Callable[..., Tensor]
MASK_ID = 103
FIRST_WORD_ID = 999


@dataclass(frozen=True)
class Task:
    """`texts` n arrays of token ids, `targets` [n, labels] teacher logits, and how to batch them.

    `token_targets`, if given, are n arrays [tokens, values] of any float type: one target a token.
    """

    texts: Sequence[TokenIds]
    targets: FloatArray
    token_budget: int
    masking: float
    seed: int
    token_targets: Sequence[NDArray[Any]] | None = None


@dataclass(frozen=True)
class Schedule:
    """AdamW with linear warm-up and decay; `tokens` (padding counted) is the length of the training.

    `head_rate`: another learning rate for the module named "head", if there is one.
    """

    tokens: int
    learning_rate: float
    head_rate: float | None = None
    warmup_steps: int = 50
    weight_decay: float = 0.01
    evaluate_every: int = 500

    def optimizer(self, modules: nn.ModuleDict) -> torch.optim.Optimizer:
        """AdamW over every parameter of `modules`, in one group a module."""
        groups = [
            {"params": [each for each in module.parameters() if each.requires_grad], "peak": self.peak(name)}
            for name, module in modules.items()
        ]
        return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=self.weight_decay, fused=True)

    def peak(self, name: str) -> float:
        """The highest learning rate of the module `name`."""
        return self.head_rate if name == "head" and self.head_rate else self.learning_rate

    def apply(self, optimizer: torch.optim.Optimizer, step: int, seen: int) -> None:
        """Set the learning rates for a step, after `seen` tokens."""
        share = min(1.0, (step + 1) / self.warmup_steps) * max(0.0, 1 - seen / self.tokens)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def mask_words(input_ids: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random `share` of the words (never special tokens) by [MASK]."""
    chosen = torch.rand(input_ids.shape, generator=generator) < share
    return input_ids.masked_fill(chosen & (input_ids > FIRST_WORD_ID), MASK_ID)


def _steps(task: Task, skip: int) -> Iterator[tuple[int, list[int]]]:
    """Endless (step, rows) from step `skip` on; an epoch's order depends on its number and the seed alone."""
    lengths = [len(text) for text in task.texts]
    step, epoch = 0, 0
    while True:
        for rows in length_batches(lengths, task.token_budget, np.random.default_rng([task.seed, epoch])):
            if step >= skip:
                yield step, rows
            step += 1
        epoch += 1


def fit(
    modules: nn.ModuleDict,
    loss_of: LossOf,
    task: Task,
    schedule: Schedule,
    evaluate: Callable[[], float],
    state: Path,
) -> list[dict[str, float]]:
    """Train `modules`, keep the best weights by `evaluate` (the start included), return the history.

    All there is to know is saved in `state` at each evaluation; a state that is there is gone on from. Ctrl-C
    therefore loses the steps since the last evaluation, and nothing else.
    """
    optimizer = schedule.optimizer(modules)
    progress = _Progress.restore(state, modules, optimizer)
    if not progress.history:
        progress.record(evaluate(), modules)
    bar = tqdm(total=schedule.tokens, initial=progress.seen, unit="token", unit_scale=True, desc=state.stem)
    with bar:
        for step, rows in _steps(task, progress.step):
            if progress.seen >= schedule.tokens:
                break
            schedule.apply(optimizer, step, progress.seen)
            size, loss = _step(modules, loss_of, task, optimizer, step, rows)
            progress.advance(size, loss)
            bar.update(size)
            if progress.step % schedule.evaluate_every == 0:
                bar.set_postfix(f1=f"{progress.record(evaluate(), modules):.4f}")
                progress.save(state, modules, optimizer)
    return progress.finish(evaluate, state, modules, optimizer)


def _step(
    modules: nn.ModuleDict,
    loss_of: LossOf,
    task: Task,
    optimizer: torch.optim.Optimizer,
    step: int,
    rows: list[int],
) -> tuple[int, float]:
    """One optimizer step; returns the batch's padded tokens and its loss."""
    device = next(modules.parameters()).device
    ids, mask = pad_batch([task.texts[row] for row in rows])
    masked = mask_words(ids, task.masking, torch.Generator().manual_seed(task.seed * 1_000_003 + step))
    targets = [torch.from_numpy(task.targets[rows])]
    if task.token_targets is not None:
        targets.append(pad_values([task.token_targets[row] for row in rows], ids.shape[1]))
    with autocast(device):
        loss = loss_of(masked.to(device), mask.to(device), *(target.to(device) for target in targets))
    loss.backward()
    nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return ids.numel(), float(loss.detach())


def mean_of_best_and_last(state: Path) -> dict[str, Tensor]:
    """The mean of the best and the last weights in a state of `fit`: steadier than either."""
    saved = torch.load(state, weights_only=True)
    return {name: (saved["best"][name] + last) / 2 for name, last in saved["modules"].items()}


@dataclass
class _Progress:
    step: int
    seen: int
    losses: list[float]
    history: list[dict[str, float]]
    best_score: float
    best: dict[str, Tensor]
    finished: bool = False

    @classmethod
    def restore(cls, path: Path, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> _Progress:
        if not path.exists():
            return cls(0, 0, [], [], -1.0, {})
        saved = torch.load(path, weights_only=True)
        modules.load_state_dict(saved.pop("modules"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        return cls(**saved)

    def save(self, path: Path, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> None:
        content = {**vars(self), "modules": modules.state_dict(), "optimizer": optimizer.state_dict()}
        with durable.replacing(path) as beside:
            torch.save(content, beside)

    def finish(
        self,
        evaluate: Callable[[], float],
        path: Path,
        modules: nn.ModuleDict,
        optimizer: torch.optim.Optimizer,
    ) -> list[dict[str, float]]:
        """Score the end once, and leave the best weights in `modules`."""
        if not self.finished:
            self.record(evaluate(), modules)
            self.finished = True
            self.save(path, modules, optimizer)
        modules.load_state_dict(self.best)
        return self.history

    def advance(self, tokens: int, loss: float) -> None:
        self.step += 1
        self.seen += tokens
        self.losses.append(loss)

    def record(self, score: float, modules: nn.ModuleDict) -> float:
        entry = {"step": float(self.step), "f1": score}
        if self.losses:
            entry["loss"] = float(np.mean(self.losses))
            self.losses.clear()
        self.history.append(entry)
        if score > self.best_score:
            self.best_score = score
            self.best = {name: tensor.detach().clone() for name, tensor in modules.state_dict().items()}
        return score


@torch.no_grad()
def predict(
    logits_of: LogitsOf,
    texts: Sequence[TokenIds],
    device: torch.device | None = None,
    token_budget: int = 8192,
    half: bool = True,
    description: str = "",
) -> FloatArray:
    """Logits [texts, labels] in the order of `texts`; `half`: with bfloat16 products, as in training."""
    device = device or torch.device("cpu")
    rows_of = length_batches([len(text) for text in texts], token_budget)
    logits: FloatArray | None = None
    for rows in tqdm(rows_of, desc=description, leave=False, disable=not description):
        ids, mask = pad_batch([texts[row] for row in rows])
        with autocast(device, half):
            values = logits_of(ids.to(device), mask.to(device)).float().cpu().numpy()
        if logits is None:
            logits = np.zeros((len(texts), values.shape[1]), np.float32)
        logits[rows] = values
    return logits if logits is not None else np.zeros((0, 0), np.float32)
