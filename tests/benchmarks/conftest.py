"""A checkpoint that every contestant of the benchmarks can load, and what transformers says about it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load.texts import LENGTHS, Review, Texts, token_ids
from benchmarks.rivals.flask_server import FlaskSettings
from benchmarks.rivals.padded_models import add_padded_models
from benchmarks.run.settings import QUICK
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena, FlaskChoice, open_arena
from benchmarks.servers.contestants import FLASK_BEST, FLASK_LATENCY
from benchmarks.servers.random_checkpoint import make_random_checkpoint
from benchmarks.servers.repository import publish_ours

TEXTS = (
    "good film",
    "a bad film with no plot",
    "the best story of her life, really",
    "the " * 40,
    "bad bad",
    "",
)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A few texts of different lengths."""
    return list(TEXTS)


@pytest.fixture(scope="session")
def bench_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random layers that every precision's check accepts; [PAD] has a zero embedding.

    MobileBERT's trigram input sees the token after a text's last one, so with any other embedding
    transformers' own logits depend on whether a text was padded.
    """
    return make_random_checkpoint(tiny_checkpoint, tmp_path_factory.mktemp("random"), layers=2)


@pytest.fixture(scope="session")
def bench_repository(bench_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours in every precision and the padded rival, as a run publishes them."""
    repository = tmp_path_factory.mktemp("bench") / "models"
    publish_ours(bench_checkpoint, repository)
    add_padded_models(bench_checkpoint, repository)
    return repository


@pytest.fixture(scope="session")
def arena(bench_checkpoint: Path, bench_repository: Path) -> Iterator[Arena]:
    """Live: Triton with ours and the padded rival, and the Flask app with two workers."""
    choice = FlaskChoice(FlaskSettings(workers=2, torch_threads=1, fast_dtype="bfloat16", batch_size=2))
    flask = {FLASK_BEST: choice, FLASK_LATENCY: choice}
    with open_arena(bench_checkpoint, bench_repository, flask) as live:
        yield live


@pytest.fixture(scope="session")
def stage(bench_checkpoint: Path, bench_repository: Path, texts: list[str]) -> Stage:
    """Sizes so small that a section takes seconds."""
    tiny = replace(
        QUICK,
        window=0.1,
        table_rounds=2,
        multiple_queries=2,
        all_queries=3,
        perf_window=0.5,
        batch_sizes=(1, 16),
        in_process_texts=8,
    )
    counts = [len(ids) for ids in token_ids(bench_checkpoint, [Review(text, 0) for text in texts])]
    reviews = [
        Review(text, count, number % 2)
        for number, (text, count) in enumerate(zip(texts, counts, strict=True))
    ]
    sent = Texts(dict.fromkeys(LENGTHS, 4 * reviews), "made-up texts")
    return Stage(bench_checkpoint, bench_repository, sent, tiny, lambda step: None)


@pytest.fixture(scope="session")
def torch_labels(bench_checkpoint: Path) -> list[str]:
    """Labels of transformers' model for the texts, each alone and unpadded: the oracle."""
    return _labels(bench_checkpoint)


def _labels(checkpoint: Path) -> list[str]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    with torch.inference_mode():
        best = [int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) for text in TEXTS]
    assert len(set(best)) == 2, "texts of one label only cannot show a mix-up"
    return [model.config.id2label[number] for number in best]
