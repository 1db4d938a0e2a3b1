"""What `distill.py` does between its explanations: word vectors, the second teacher, outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import PreTrainedModel

import durable
from training.checkpoint import Predict
from training.corpus import Corpus, Tokens
from training.data import Examples
from training.long_texts import mean_logits, read
from training.loops import FloatArray, LogitsOf, Schedule, Task, fit, predict
from training.metrics import f1, temperature
from training.nbsvm import log_count_ratio
from training.student import first_token_logits, principal_components
from training.teachers import PooledEncoder, both_ends, hard_targets, word_vectors
from training.token_batches import TokenIds, pad_batch

SAMPLE_TEXTS = 300
EMBEDDING_SIZE = 128
History = Sequence[Mapping[str, float]]


def start_vectors(teacher: str, texts: Sequence[TokenIds], train: Examples, vocabulary: int) -> FloatArray:
    """Word embeddings to start from, [words, 128] at unit RMS.

    Two dimensions a label (two in all for two labels) hold what a word says of it, learnt from `train`: its
    naive Bayes ratio, and its weight in a logistic regression. The rest are the principal components of the
    teacher's word embeddings, or noise without a teacher.
    """
    words = _bag(texts, vocabulary)
    targets = [1] if len(train.names) == 2 else range(len(train.names))
    columns = [column for target in targets for column in _word_weights(words, train.labels == target)]
    width = EMBEDDING_SIZE - len(columns)
    noise = np.random.default_rng(0).standard_normal((vocabulary, width), np.float32)
    rest = principal_components(word_vectors(teacher), width) if teacher else noise
    return np.concatenate([rest, np.stack(columns, axis=1)], axis=1).astype(np.float32)


def _bag(texts: Sequence[TokenIds], vocabulary: int) -> csr_matrix:
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    cells = (np.ones(len(rows), np.float64), (rows, np.concatenate(texts)))
    words = csr_matrix(cells, shape=(len(texts), vocabulary))
    words.data[:] = 1
    return words


def _word_weights(words: csr_matrix, positive: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    regression = LogisticRegression(C=0.03, solver="liblinear", dual=True, random_state=0).fit(
        words, positive
    )
    seen = np.asarray(words.sum(axis=0)).ravel() > 0
    weights = [log_count_ratio(words, positive, smoothing=10.0), regression.coef_[0]]
    return [weight / np.sqrt((weight[seen] ** 2).mean()) for weight in weights]


def sample_batch(texts: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
    """A few hundred texts as ids and mask, for measuring the stream."""
    return pad_batch(texts[:SAMPLE_TEXTS])


def encoder_logits(
    teacher: str, corpus: Corpus, tokens: Tokens, max_tokens: int, budget: int, work: Path, seed: int
) -> dict[str, FloatArray]:
    """Fine-tune the encoder on the labelled texts; calibrated logits: {"held_out", "unlabelled"}.

    The state of the fine-tuning is kept in `work`/encoder.pt. The held-out texts choose its best weights and
    fit its temperature.
    """
    torch.manual_seed(seed)
    model = PooledEncoder(teacher, corpus.size)
    modules = nn.ModuleDict({"encoder": model.encoder, "head": model.head})
    shortened = {
        name: [both_ends(text, max_tokens) for text in tokens[name]]
        for name in ("train", "held_out", "unlabelled")
    }
    task = Task(
        shortened["train"],
        hard_targets(corpus.train.labels, corpus.size),
        token_budget=4096,
        masking=0.0,
        seed=seed,
    )

    def held_out_f1() -> float:
        predicted = predict(model, shortened["held_out"]).argmax(axis=1)
        return f1(corpus.held_out.labels, predicted, corpus.size)

    schedule = Schedule(budget, learning_rate=6e-5, head_rate=2e-3)
    fit(modules, lambda *batch: _entropy(model, *batch), task, schedule, held_out_f1, work / "encoder.pt")
    held_out = predict(model, shortened["held_out"])
    scale = np.float32(1 / temperature(held_out, corpus.held_out.labels))
    unlabelled = predict(model, shortened["unlabelled"], description="second teacher")
    return {"held_out": scale * held_out, "unlabelled": scale * unlabelled}


def _entropy(model: PooledEncoder, input_ids: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    log_shares = model(input_ids, mask).float().log_softmax(dim=1)
    return -(targets.softmax(dim=1) * log_shares).sum(dim=1).mean()


def name_labels(model: PreTrainedModel, names: Sequence[str]) -> None:
    """Write the label names into the model's configuration."""
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}


def predict_long(
    logits_of: LogitsOf, texts: Sequence[TokenIds], way: str, half: bool = True, description: str = ""
) -> FloatArray:
    """Logits [texts, labels] of whole texts, the longer ones read in one of `long_texts.WAYS`."""
    parts = [read(text.tolist(), way) for text in texts]
    rows = [np.array(part) for several in parts for part in several]
    logits = predict(logits_of, rows, half=half, description=description)
    return mean_logits(logits, [len(several) for several in parts])


def predictor(texts: Sequence[TokenIds], way: str) -> Predict:
    """Logits of chosen `texts` in float32; `way`: how long ones are read."""

    def predict_rows(model: Any, rows: Sequence[int]) -> FloatArray:
        chosen = [texts[row] for row in rows]
        return predict_long(
            lambda ids, mask: first_token_logits(model, ids, mask)[0], chosen, way, False, "test"
        )

    return predict_rows


def teacher_scores(logits: Mapping[str, FloatArray], corpus: Corpus) -> dict[str, float]:
    """F1 of NB-SVM on the held-out and the test texts: the number to beat."""
    return {
        f"NB-SVM, {name}": f1(examples.labels, logits[key].argmax(axis=1), corpus.size)
        for name, key, examples in (("held-out", "held_out", corpus.held_out), ("test", "test", corpus.test))
    }


def joined(stem: History, grown: History) -> list[dict[str, float]]:
    """Both histories as one: the grown model's steps are numbered after the stem's."""
    last = stem[-1]["step"]
    return [*map(dict, stem), *({**entry, "step": entry["step"] + last} for entry in grown)]


def summary(depth: int, names: Sequence[str]) -> str:
    """The first sentences of the model card."""
    return (
        f"A MobileBERT of {depth} layers that gives a text one of these labels: {', '.join(names)}. "
        "It was distilled from scratch: it did not start from Google's weights."
    )


def save_mistakes(path: Path, examples: Examples, logits: FloatArray) -> Path:
    """Write the misjudged texts, surest first: {"row", "label", "predicted", "score", "text"} a line."""
    shares, predicted = softmax(logits, axis=1), logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != examples.labels)
    records = [
        {
            "row": int(row) + 1,
            "label": examples.names[examples.labels[row]],
            "predicted": examples.names[predicted[row]],
            "score": round(float(shares[row].max()), 4),
            "text": examples.texts[row],
        }
        for row in wrong[np.argsort(-shares[wrong].max(axis=1))]
    ]
    return durable.write_text(
        path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    )
