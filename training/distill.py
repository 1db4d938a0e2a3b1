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
# # Distil a small MobileBERT from teachers and unlabelled text
#
# Trains a MobileBERT of any depth without its public weights, on a CPU if need be. Two teachers score the
# texts: NB-SVM on n-grams of tokens, and a small pretrained encoder fine-tuned with mean pooling. The student
# learns what each token adds to the first logit, the summed logits on unlabelled text, and half label, half
# teacher on the labelled. It makes a smaller, faster model for a task of your own:
#
# ```
# python -m training.distill --data train.parquet --unlabelled unsupervised.parquet --test-data test.parquet \
#     --teacher sentence-transformers/all-MiniLM-L6-v2 --depth 2
# ```
#
# Each stage leaves a file in the work folder and is skipped when that file is there, so an interrupted run
# goes on where it was; the trainings go on from their last evaluation.

# %%
import sys

sys.path.insert(0, "..")  # the repository root, opened as a notebook in training/,
sys.path.insert(0, ".")  # or run from the root itself

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training import distilling
from training.checkpoint import Evaluation, write_checkpoint
from training.corpus import computed_once, load_corpus, load_tokenizer, tokenize_corpus
from training.data import DataError, ReadOptions
from training.fitting import check_way, token_counts, verdict
from training.long_texts import WAYS
from training.loops import LogitsOf, Schedule, Task, fit, mean_of_best_and_last
from training.losses import soft_loss, term_loss
from training.metrics import f1, temperature
from training.model_card import commit, environment, model_card
from training.ngrams import NgramTeacher
from training.settings import as_hyperparameters, given_options, option, parse_settings
from training.student import (
    first_token_logits,
    grow,
    new_student,
    raise_norms,
    set_word_embeddings,
    stem_logits,
    stem_terms,
)
from training.summary import print_summary
from training.teachers import by_text, ngram_logits, pair, scaled_terms, soft_labels

# %% [markdown]
# ## Settings


# %%
@dataclass
class Settings:
    """What can be set; each field is an option."""

    data: str = option("stanfordnlp/imdb", "labelled texts: a file, or a data set of the hub (split train)")
    unlabelled: str = option("", "texts without labels: a file; default: the hub's split `unsupervised`")
    test_data: str = option("", "texts to report on: a file; default: the hub's split `test`")
    text_column: str = option("text", "column of the texts")
    label_column: str = option("label", "column of the labels")
    labels: str = option("negative,positive", "label names, in the order of their indices")
    encoding: str = option("utf-8", "encoding of CSV, TSV and JSON files, such as windows-1252")
    drop_incomplete: bool = option(False, "leave out labelled rows without a text or a label")
    tokenizer: str = option(
        "google/mobilebert-uncased", "tokenizer with BERT's uncased vocabulary; or a folder"
    )
    teacher: str = option(
        "", "a BERT-like encoder as second teacher and source of word embeddings; or a folder"
    )
    output: str = option("checkpoints/mobilebert-distilled", "folder of the checkpoint")
    work: str = option("runs/distill", "folder of the stages, and of the mistakes to read")
    notes: str = option("", "a Markdown file with sections of your own for the model card")
    depth: int = option(2, "layers of the student")
    held_out: int = option(2000, "labelled texts that choose and calibrate, and train nothing")
    teacher_tokens: int = option(256, "what the second teacher reads of a text: half at each end")
    teacher_budget: int = option(4_000_000, "tokens of the second teacher's fine-tuning")
    teacher_weight: float = option(
        0.35, "share of the second teacher in the targets, NB-SVM has the rest; 0: it gives embeddings only"
    )
    terms_weight: float = option(1.0, "weight of what each token adds to NB-SVM's logit, in the stem's loss")
    stem_masking: float = option(0.02, "share of words masked while the stem trains")
    masking: float = option(0.1, "share of words masked while the grown model trains")
    token_budget: int = option(8192, "tokens a batch")
    stem_tokens: int = option(20_000_000, "tokens of the stem's training")
    stem_rate: float = option(1.5e-3, "learning rate of the stem")
    grown_tokens: int = option(10_000_000, "tokens of the grown model's training")
    grown_rate: float = option(6e-4, "learning rate of the grown model")
    pooled_share: float = option(0.3, "weight of the mean-pooled loss beside the first token's")
    long: str = option("windows", f"how longer texts are read to evaluate, as in serving: {', '.join(WAYS)}")
    range_texts: int = option(128, "training texts that activation ranges are measured on")
    seed: int = option(17, "seed of the split, the weights and the order of texts")


# %% tags=["parameters"]
options = given_options("DISTILL_OPTIONS")  # in a notebook, for example: ["--data", "reviews.csv"]

# %%
settings = parse_settings(
    Settings, options, "training.distill", "Distil a small MobileBERT from teachers and unlabelled text."
)
work = Path(settings.work)
work.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Data
# Texts that also occur in the test data are dropped, duplicates too. Some labelled texts are held out of all
# training: they choose the best weights and fit the temperatures. Everything is tokenized once. Texts over
# 512 tokens are cut to train on, and read as in serving (`--long`) to evaluate.

# %%
try:
    check_way(settings.long)
    corpus = load_corpus(
        settings.data,
        settings.unlabelled,
        settings.test_data,
        columns=(settings.text_column, settings.label_column),
        labels=[name.strip() for name in settings.labels.split(",") if name.strip()],
        held_out=settings.held_out,
        seed=settings.seed,
        options=ReadOptions(settings.encoding, drop_incomplete=settings.drop_incomplete),
    )
except DataError as error:
    sys.exit(f"error: {error}")
tokenizer = load_tokenizer(settings.tokenizer)
tokens = tokenize_corpus(corpus, tokenizer, work)
print_summary(f"{settings.data}, without repeated, test and held-out texts", corpus.train)
print(corpus.describe(settings.data))

# %% [markdown]
# ## First teacher: NB-SVM
# On the training texts its logits are out-of-fold: they show doubt, which labels do not. They are sums over
# n-grams. Cut into what each token adds, they give the student one target a token.

# %%
student_texts = tokens["train"] + tokens["unlabelled"]


def first_teacher() -> dict[str, np.ndarray]:
    """Logits by set of texts, and the terms of the texts that the student trains on."""
    teacher = NgramTeacher(tokenizer.vocab_size, seed=settings.seed)
    teacher.fit(tokens["train"], corpus.train.labels, corpus.size)
    logits = ngram_logits(teacher, tokens, corpus.train.labels)
    return {**logits, "terms": scaled_terms(teacher, student_texts)}


first = computed_once(work / "nbsvm.npz", first_teacher)
scores = distilling.teacher_scores(first, corpus)
print(f"NB-SVM, held out: F1 {scores['NB-SVM, held-out']:.4f}")

# %% [markdown]
# ## Second teacher: a pretrained encoder
# Fine-tuned on the labelled texts, it knows what n-grams do not, and scores the texts without a label. Their
# targets are then the mean of both teachers' logits, at the temperature that fits the held-out texts.

# %%
unlabelled_logits = first["unlabelled"]
if settings.teacher and settings.teacher_weight:
    second = computed_once(
        work / "encoder.npz",
        lambda: distilling.encoder_logits(
            settings.teacher,
            corpus,
            tokens,
            max_tokens=settings.teacher_tokens,
            budget=settings.teacher_budget,
            work=work,
            seed=settings.seed,
        ),
    )
    both = {name: pair(first[name], second[name], settings.teacher_weight) for name in second}
    for name, logits in (("the encoder", second["held_out"]), ("both", both["held_out"])):
        scores[f"{name}, held-out"] = f1(corpus.held_out.labels, logits.argmax(axis=1), corpus.size)
        print(f"{name}, held out: F1 {scores[f'{name}, held-out']:.4f}")
    unlabelled_logits = both["unlabelled"] / temperature(both["held_out"], corpus.held_out.labels)

# %% [markdown]
# ## Stem
# The embeddings and one layer without attention, under a mean-pooled head: several times faster than the
# whole model, and it learns most of what NB-SVM can teach. Its target is half label, half teacher; without a
# label it is the teacher's. A second head learns what each token adds to the teacher's logit: the
# token and its two neighbours are what a trigram input sees. Some words are masked. Students of every depth
# have the same stem: to try another `--depth`, use the same work folder.

# %%
student = new_student(corpus.size, settings.depth, settings.seed, tokenizer.vocab_size)
head = nn.Linear(student.config.hidden_size, corpus.size)
nn.init.zeros_(head.weight)
vectors = distilling.start_vectors(settings.teacher, tokens["train"], corpus.train, tokenizer.vocab_size)
set_word_embeddings(student, vectors)
modules = nn.ModuleDict({"student": student, "head": head})
token_head = nn.Linear(student.config.hidden_size, first["terms"].shape[1])
nn.init.zeros_(token_head.weight)


def stem_of(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean-pooled logits of the stem."""
    return stem_logits(student, head, ids, mask)


def model_of(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits of the model that ships: the first token's."""
    return first_token_logits(student, ids, mask)[0]


def held_out_f1(logits_of: LogitsOf) -> float:
    """F1 on the held-out texts."""
    predicted = distilling.predict_long(logits_of, tokens["held_out"], settings.long).argmax(axis=1)
    return f1(corpus.held_out.labels, predicted, corpus.size)


def stem_loss(
    ids: torch.Tensor, mask: torch.Tensor, target: torch.Tensor, terms: torch.Tensor
) -> torch.Tensor:
    """Loss of the pooled logits, and of what each token adds to them."""
    logits, token_values = stem_terms(student, head, token_head, ids, mask)
    return soft_loss(logits, target) + settings.terms_weight * term_loss(token_values, terms, mask)


task = Task(
    texts=student_texts,
    targets=np.concatenate([soft_labels(first["train"], corpus.train.labels), unlabelled_logits]),
    token_budget=settings.token_budget,
    masking=settings.masking,
    seed=settings.seed,
)
stem_parts = {
    "embeddings": student.mobilebert.embeddings,
    "layer": student.mobilebert.encoder.layer[0],
    "head": head,
    "token_head": token_head,
}
stem_history = fit(
    nn.ModuleDict(stem_parts),
    stem_loss,
    replace(task, masking=settings.stem_masking, token_targets=by_text(first["terms"], student_texts)),
    Schedule(settings.stem_tokens, settings.stem_rate),
    lambda: held_out_f1(stem_of),
    work / "stem.pt",
)

# %% [markdown]
# ## Growth
# What the stem left out is switched on as the identity, and the last layer carries the pooled logit to the
# first token, where `MobileBertForSequenceClassification` reads it: the grown model starts at the stem's
# score, and learns from both teachers. What is kept is the mean of the best weights on the held-out texts and
# the last: steadier than either. Channels that the stem silenced get small weights instead of none.

# %%
grow(student, head, *distilling.sample_batch(tokens["train"]))


def grown_loss(ids: torch.Tensor, mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Loss of the first token's logits, and a share of the mean-pooled head's."""
    logits, pooled = first_token_logits(student, ids, mask, head)
    assert pooled is not None
    return soft_loss(logits, target) + settings.pooled_share * soft_loss(pooled, target)


grown_history = fit(
    modules,
    grown_loss,
    task,
    Schedule(settings.grown_tokens, settings.grown_rate, evaluate_every=250),
    lambda: held_out_f1(model_of),
    work / f"grown_{settings.depth}.pt",
)
modules.load_state_dict(mean_of_best_and_last(work / f"grown_{settings.depth}.pt"))
print(f"{raise_norms(student)} norm weights raised")

# %% [markdown]
# ## Calibration
# Of texts with a score of 0.98, 98% should be right. The temperature that fits the held-out texts best is
# folded into the classifier, so export and serving need not know of it.

# %%
student.eval()
held_out_logits = distilling.predict_long(model_of, tokens["held_out"], settings.long, half=False)
held_out_score = f1(corpus.held_out.labels, held_out_logits.argmax(axis=1), corpus.size)
print(f"held out: F1 {held_out_score:.4f}")
scale = temperature(held_out_logits, corpus.held_out.labels)
with torch.no_grad():
    student.classifier.weight.div_(scale)
    student.classifier.bias.div_(scale)
distilling.name_labels(student, corpus.train.names)

# %% [markdown]
# ## Results and checkpoint
# Scored once on the test texts, with the weights as they are stored: in half precision, at half the size.

# %%
metrics, test_logits = write_checkpoint(
    path=Path(settings.output),
    model=student,
    tokenizer=tokenizer,
    range_texts=[text.tolist() for text in tokens["train"][: settings.range_texts]],
    predict=distilling.predictor(tokens["test"], settings.long),
    evaluation=Evaluation(
        "test", corpus.test.labels, token_counts(corpus.test, tokenizer), corpus.train.names
    ),
    metrics={
        "data": corpus.describe(settings.data),
        "hyperparameters": as_hyperparameters(settings),
        "commit": commit(),
        "environment": environment(),
        "teachers": scores,
        "held_out": {"f1": held_out_score, "texts": len(corpus.held_out.labels)},
        "temperature": scale,
        "training": {"curves": distilling.joined(stem_history, grown_history)},
    },
    history=distilling.joined(stem_history, grown_history),
    card=lambda content: model_card(
        title=Path(settings.output).name,
        summary=distilling.summary(settings.depth, corpus.train.names),
        metrics=content,
        hyperparameters=content["hyperparameters"],
        notes=Path(settings.notes).read_text(encoding="utf-8") if settings.notes else "",
    ),
    half=True,
)
distilling.save_mistakes(work / "mistakes.jsonl", corpus.test, test_logits)
print(f"{settings.output}: {verdict(metrics)}")
