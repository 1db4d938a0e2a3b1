# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fine-tune MobileBERT on your texts
#
# From labelled texts to a checkpoint that `python -m export` takes as it is. Read it top to bottom as a
# notebook (`jupytext --to notebook training/finetune.py`), or run it as a script from the repository root:
#
# ```
# python -m training.finetune                                        # IMDB, google/mobilebert-uncased
# python -m training.finetune --data reviews.csv --text-column review --label-column verdict
# python -m training.finetune --help
# ```

# %%
import shutil
import sys

sys.path.insert(0, "..")  # the repository root, opened as a notebook in training/,
sys.path.insert(0, ".")  # or run from the root itself

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    TrainingArguments,
    set_seed,
)

from training import fitting
from training.checkpoint import Evaluation, write_checkpoint
from training.data import DataError, ReadOptions
from training.evaluation import PartsTrainer, read_parts
from training.long_texts import POSITIONS, WAYS
from training.model_card import commit, environment, model_card
from training.precision import has_bfloat16
from training.regression import Unit
from training.settings import as_hyperparameters, given_options, option, parse_settings
from training.summary import print_summary

# %% [markdown]
# ## Settings
# As a script the settings are options, `--learning-rate 3e-5`; in a notebook, write these words in `options`.


# %%
@dataclass
class Settings:
    """What can be set; each field is an option."""

    data: str = option(
        "stanfordnlp/imdb",
        "CSV, TSV, JSON, JSON lines or parquet, also packed; or a data set of the hub",
    )
    test_data: str = option("", "texts to report on; default: the hub's test split, else the held-out texts")
    text_column: str = option("text", "column of the texts")
    label_column: str = option("label", "column of the labels")
    labels: str = option("", "label names, comma-separated, in the order of their indices")
    label_separator: str = option("", "what separates several labels of one text in a CSV, such as '|'")
    regression: bool = option(False, "the label is a number to predict, such as a count of stars")
    encoding: str = option("utf-8", "encoding of a CSV, TSV or JSON file, such as windows-1252")
    drop_incomplete: bool = option(False, "leave out rows without a text or a label")
    base_model: str = option("google/mobilebert-uncased", "a model of the hub, or a folder")
    output: str = option("checkpoints/mobilebert-finetuned", "folder of the checkpoint")
    work: str = option("runs/finetune", "folder of the unfinished training")
    resume: bool = option(False, "go on with an interrupted training")
    restart: bool = option(False, "discard an interrupted training")
    epochs: float = option(5.0, "passes over the data at most")
    patience: int = option(2, "stop after so many epochs without a better F1")
    learning_rate: float = option(5e-5, "peak of the linear schedule")
    warmup_share: float = option(0.06, "share of the steps that warm up")
    weight_decay: float = option(0.01, "AdamW's weight decay")
    batch_size: int = option(32, "texts a step and device")
    gradient_accumulation: int = option(1, "steps whose gradients are added up")
    max_tokens: int = option(POSITIONS, "right truncation of the texts to train on")
    long: str = option("windows", f"how longer texts are read to evaluate, as in serving: {', '.join(WAYS)}")
    held_out: float = option(0.1, "share of the training texts that choose the best epoch")
    range_texts: int = option(128, "training texts that activation ranges are measured on")
    bf16: bool = option(True, "bfloat16 matrix products where the machine has them")
    half_storage: bool = option(False, "store the weights in float16")
    class_weights: str = option("none", "none, or balanced: rare labels weigh as much as frequent ones")
    seed: int = option(17, "seed of the split, the new head and the order of texts")


# %% tags=["parameters"]
options = given_options("FINETUNE_OPTIONS")  # in a notebook, for example: ["--data", "reviews.csv"]

# %%
settings = parse_settings(Settings, options, "training.finetune", "Fine-tune MobileBERT on labelled texts.")

# %% [markdown]
# ## Data
# Every row is checked before anything is downloaded or trained: a missing column, an unknown label, an empty
# text, a byte that is not UTF-8, a comma without quotes stops here with the row's number. What was understood
# is printed as a table: rows, labels with their counts, the longest text. A stratified share of the training
# texts is held out to choose the best epoch; texts that also occur in the test data are dropped.

# %%
try:
    data = fitting.load_splits(
        settings.data,
        settings.test_data,
        columns=(settings.text_column, settings.label_column),
        labels=[name.strip() for name in settings.labels.split(",") if name.strip()],
        held_out=settings.held_out,
        seed=settings.seed,
        options=ReadOptions(
            settings.encoding, settings.label_separator, settings.drop_incomplete, settings.regression
        ),
    )
    fitting.check_class_weights(settings.class_weights, data.train)
    fitting.check_way(settings.long)
    start_from = fitting.prepare_work_folder(Path(settings.work), settings.resume, settings.restart)
except DataError as error:
    sys.exit(f"error: {error}")
for source, examples in data.loaded.items():
    print_summary(source, examples)
print(data.describe(settings.data))

# %% [markdown]
# ## Model
# The tokenizer and the weights come from the hub (or a folder). The classification head is new unless the
# base model has one of the same size; label names travel in the checkpoint as `id2label`. Where the data give
# a text several labels (a column of lists), each label has a probability of its own. With `--regression` the
# label is a number: the model learns it in units of its spread, and answers in its own.

# %%
set_seed(settings.seed)
try:
    tokenizer = AutoTokenizer.from_pretrained(settings.base_model)
    model = AutoModelForSequenceClassification.from_pretrained(
        settings.base_model,
        num_labels=len(data.names),
        id2label=dict(enumerate(data.names)),
        label2id={name: index for index, name in enumerate(data.names)},
        problem_type=fitting.problem_type(data.train),
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )
except OSError as error:
    sys.exit(
        f"error: {settings.base_model} cannot be loaded ({str(error).splitlines()[0]}); see --base-model."
    )

# %% [markdown]
# ## Training
# `Trainer` evaluates after each epoch, on texts that are read as in serving (`--long`), keeps the checkpoint
# with the best F1 (regression: R2), and stops when that no longer rises. Ctrl-C saves and stops; `--resume`
# goes on from that step. Where the machine has bfloat16, matrix products use it; the weights stay in float32.

# %%
unit = Unit.of(data.train.labels) if settings.regression else None
train, chosen = (fitting.in_unit(examples, unit) for examples in (data.train, data.held_out))
rows = fitting.tokenize(train, tokenizer, settings.max_tokens)
held_out, test = (
    read_parts(examples, tokenizer, settings.long, model.config.max_position_embeddings)
    for examples in (chosen, data.test)
)
steps = len(rows) / (settings.batch_size * settings.gradient_accumulation) * settings.epochs
arguments = TrainingArguments(
    output_dir=settings.work,
    num_train_epochs=settings.epochs,
    learning_rate=settings.learning_rate,
    warmup_steps=int(settings.warmup_share * steps),
    weight_decay=settings.weight_decay,
    per_device_train_batch_size=settings.batch_size,
    per_device_eval_batch_size=2 * settings.batch_size,
    gradient_accumulation_steps=settings.gradient_accumulation,
    train_sampling_strategy="group_by_length",
    bf16=settings.bf16 and has_bfloat16(),
    use_cpu=not torch.cuda.is_available(),
    eval_strategy="epoch",
    save_strategy="epoch",
    save_total_limit=2,
    load_best_model_at_end=True,
    metric_for_best_model=fitting.main_figure(data.train),
    greater_is_better=True,
    logging_steps=max(1, int(steps) // 100),
    report_to="none",
    seed=settings.seed,
)
trainer = PartsTrainer(
    model=model,
    args=arguments,
    train_dataset=rows,
    eval_dataset=held_out.rows,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=lambda found: fitting.figures(held_out.logits(np.asarray(found.predictions)), chosen),
    compute_loss_func=fitting.loss_function(data.train, settings.class_weights),
    callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
)
if not fitting.train(trainer, start_from):
    sys.exit("interrupted: the training is saved; add --resume to go on.")
if unit:
    unit.restore(model.classifier)

# %% [markdown]
# ## Results and checkpoint
# The best epoch is scored once on the test texts. The folder that appears holds the weights, the tokenizer,
# `metrics.json`, a model card, plots, and two files for `export`: the golden texts' logits, which every
# precision has to reproduce, and the activation ranges, from which fp16 and int8 take their scales.

# %%
metrics, _ = write_checkpoint(
    path=Path(settings.output),
    model=model,
    tokenizer=tokenizer,
    range_texts=rows[: settings.range_texts]["input_ids"],
    predict=fitting.predictor(trainer, test),
    evaluation=Evaluation(
        data.test_name,
        data.test.labels,
        fitting.token_counts(data.test, tokenizer),
        data.names,
        settings.regression,
    ),
    metrics={
        "data": data.describe(settings.data),
        "hyperparameters": as_hyperparameters(settings),
        "commit": commit(),
        "environment": environment(),
        "training": fitting.summary(trainer),
    },
    history=fitting.curves(trainer),
    card=lambda content: model_card(
        title=f"{Path(settings.base_model).name}, fine-tuned on {Path(settings.data).name}",
        summary=fitting.promise(data.train),
        metrics=content,
        hyperparameters=content["hyperparameters"],
        base_model=None if Path(settings.base_model).exists() else settings.base_model,
    ),
    half=settings.half_storage,
)
shutil.rmtree(settings.work)
print(f"{settings.output}: {fitting.verdict(metrics)}")
