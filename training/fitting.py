"""What `finetune.py` does between its explanations: data splits, token rows, an interruptible Trainer."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from training.checkpoint import Predict
from training.data import (
    DEFAULT_OPTIONS,
    DataError,
    Examples,
    ReadOptions,
    load_examples,
    split_examples,
    without,
)
from training.evaluation import Parts
from training.long_texts import WAYS
from training.losses import balanced_weights, positive_weights, weighted_cross_entropy, weighted_decisions
from training.metrics import accuracy_of_logits, f1_of_logits
from training.regression import Unit, error, explained
from training.tables import is_file_name


@dataclass(frozen=True)
class Splits:
    """Texts to train on, to choose the best epoch by, and to report on (`test_name` says which).

    `loaded`: what was read, by source, before anything was split or left out.
    """

    train: Examples
    held_out: Examples
    test: Examples
    test_name: str
    loaded: Mapping[str, Examples]

    @property
    def names(self) -> tuple[str, ...]:
        """Label names, in the order of their indices."""
        return self.train.names

    def describe(self, source: str) -> dict[str, Any]:
        """The data section of metrics.json and of the model card."""
        return {
            "source": Path(source).name if Path(source).exists() else source,
            "texts to train on": len(self.train.texts),
            "texts that chose the best epoch": len(self.held_out.texts),
            "texts reported on": f"{len(self.test.texts)} ({self.test_name})",
            "labels": ", ".join(self.names),
        }


def load_splits(
    source: str,
    test_source: str,
    columns: tuple[str, str],
    labels: Sequence[str],
    held_out: float,
    seed: int,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Splits:
    """Load and check the data. Without test data, the held-out texts are also those reported on.

    `columns`: the text's and the label's. A data set of the hub brings its test split. Raises `DataError`.
    """
    examples = load_examples(source, *columns, labels, options=options)
    test = _test_examples(source, test_source, columns, examples.names, options)
    loaded = (
        {source: examples} if test is None else {source: examples, test_source or f"{source}, test": test}
    )
    if test is not None:
        examples = without(examples, test.texts)
    train, chosen = split_examples(examples, held_out, seed)
    return Splits(train, chosen, test or chosen, "test" if test else "held-out", loaded)


def _test_examples(
    source: str, test_source: str, columns: tuple[str, str], names: tuple[str, ...], options: ReadOptions
) -> Examples | None:
    if test_source:
        return load_examples(test_source, *columns, names, options=options)
    if is_file_name(source) or "test" not in datasets.get_dataset_split_names(source):
        return None
    return load_examples(source, *columns, names, split="test", options=options)


def check_class_weights(kind: str, examples: Examples) -> None:
    """Raise `DataError` for a kind of class weights that does not exist."""
    if kind not in ("none", "balanced"):
        raise DataError(f"--class-weights {kind}: it is none or balanced.")
    if kind == "balanced" and examples.regression:
        raise DataError("--class-weights balanced: numbers have no classes; leave it out.")


def loss_function(examples: Examples, class_weights: str) -> Callable[..., Tensor] | None:
    """What the Trainer minimises instead of the model's own loss; None keeps that."""
    if class_weights == "none":
        return None
    if examples.multi_label:
        return weighted_decisions(positive_weights(examples.labels))
    return weighted_cross_entropy(balanced_weights(examples.counts()))


def tokenize(examples: Examples, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> datasets.Dataset:
    """Rows of `input_ids`, `attention_mask`, `labels` and `length`, right-truncated."""
    encoded = tokenizer(examples.texts, truncation=True, max_length=max_tokens, return_token_type_ids=False)
    rows = {
        **encoded,
        "labels": examples.labels.tolist(),
        "length": [len(ids) for ids in encoded["input_ids"]],
    }
    return datasets.Dataset.from_dict(rows)


def token_counts(examples: Examples, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Tokens of each text before truncation, with [CLS] and [SEP]: int64 [texts]."""
    return np.array([len(ids) for ids in tokenizer(examples.texts, verbose=False)["input_ids"]], np.int64)


def problem_type(examples: Examples) -> str:
    """transformers' name for the head and the loss: one label a text, several labels, or numbers."""
    if examples.regression:
        return "regression"
    return "multi_label_classification" if examples.multi_label else "single_label_classification"


def main_figure(examples: Examples) -> str:
    """What chooses the best epoch: the metric's name."""
    return "r2" if examples.regression else "f1"


def promise(examples: Examples) -> str:
    """The first sentence of the model card."""
    names = ", ".join(examples.names)
    if examples.regression:
        return f"Gives a text a number for each of these: {names}."
    return f"Gives a text {'any' if examples.multi_label else 'one'} of these labels: {names}."


def in_unit(examples: Examples, unit: Unit | None) -> Examples:
    """The examples with labels in `unit`, if there is one."""
    return replace(examples, labels=unit.standard(examples.labels)) if unit else examples


def check_way(way: str) -> None:
    """Raise `DataError` for a way to read long texts that does not exist."""
    if way not in WAYS:
        raise DataError(f"--long {way}: it is one of {', '.join(WAYS)}.")


def figures(logits: NDArray[Any], examples: Examples) -> dict[str, float]:
    """The Trainer's metrics for one evaluation, from logits [texts, labels]."""
    labels = examples.labels
    if examples.regression:
        return {"r2": explained(logits, labels), "error": error(logits, labels)}
    return {"f1": f1_of_logits(logits, labels), "accuracy": accuracy_of_logits(logits, labels)}


class SaveOnInterrupt(TrainerCallback):
    """The first Ctrl-C finishes the step, saves and stops; a second one stops at once."""

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over Ctrl-C."""
        self._previous = signal.signal(signal.SIGINT, self._interrupt)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask the Trainer to save and to stop, if Ctrl-C was pressed."""
        if self.interrupted:
            control.should_save = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Hand Ctrl-C back."""
        signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, number: int, frame: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._previous)


def saved_steps(work: Path) -> list[Path]:
    """The complete checkpoints of a training, oldest first (the trainer's state is written last)."""
    folders = [folder for folder in work.glob("checkpoint-*") if (folder / "trainer_state.json").is_file()]
    return sorted(folders, key=lambda folder: int(folder.name.split("-")[1]))


def prepare_work_folder(work: Path, resume: bool, restart: bool) -> Path | None:
    """The checkpoint to go on from, or None to begin. Raises `DataError` if one would be lost by accident."""
    if restart:
        shutil.rmtree(work, ignore_errors=True)
    steps = saved_steps(work)
    if steps and not resume:
        raise DataError(
            f"{work} holds an interrupted training: add --resume to go on, --restart to discard it."
        )
    for folder in set(work.glob("checkpoint-*")) - set(steps):
        shutil.rmtree(folder)
    return steps[-1] if steps else None


def train(trainer: Trainer, resume_from: Path | None) -> bool:
    """Train to the end (True) or to Ctrl-C (False; the state is then saved in the work folder)."""
    guard = SaveOnInterrupt()
    trainer.add_callback(guard)
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    return not guard.interrupted


def curves(trainer: Trainer) -> list[dict[str, float]]:
    """Loss and held-out F1 or R2 by step, for the plot and for metrics.json."""
    names = {"loss": "loss", "eval_loss": "eval_loss", "eval_f1": "f1", "eval_r2": "r2"}
    return [
        {"step": record["step"], **{names[key]: record[key] for key in names if key in record}}
        for record in trainer.state.log_history
        if names.keys() & record.keys()
    ]


def predictor(trainer: Trainer, parts: Parts) -> Predict:
    """Logits of chosen texts by any model of the same kind, in float32, batched by the trainer's settings."""

    def predict(model: PreTrainedModel, chosen: Sequence[int]) -> NDArray[np.float32]:
        arguments = TrainingArguments(
            output_dir=trainer.args.output_dir,
            per_device_eval_batch_size=trainer.args.per_device_eval_batch_size,
            report_to="none",
            use_cpu=trainer.args.use_cpu,
        )
        scorer = Trainer(model=model, args=arguments, data_collator=trainer.data_collator)
        part = parts.take(chosen)
        return part.logits(np.asarray(scorer.predict(part.rows).predictions, np.float32))

    return predict


def summary(trainer: Trainer) -> Mapping[str, Any]:
    """How the training went: steps, epochs, seconds, the best F1 or R2 and its step, and the curves."""
    state = trainer.state
    seconds = next((r["train_runtime"] for r in reversed(state.log_history) if "train_runtime" in r), None)
    return {
        "steps": state.global_step,
        "epochs": state.epoch,
        "seconds": seconds,
        f"best_{trainer.args.metric_for_best_model}": state.best_metric,
        "best_step": state.best_global_step,
        "curves": curves(trainer),
    }


def verdict(metrics: Mapping[str, Any]) -> str:
    """One line for the end of a run."""
    report = metrics["report"]
    main, name, other, other_name = (
        ("r2", "R2", "error", "error") if "r2" in report else ("f1", "F1", "calibration_error", "ECE")
    )
    score, second = report[main], report[other]["value"]
    interval = f"{score['low']:.4f} to {score['high']:.4f}"
    texts = f"{report['texts']:,} {metrics['evaluated_on']} texts"
    return f"{name} {score['value']:.4f} ({interval}), {other_name} {second:.4f} on {texts}"
