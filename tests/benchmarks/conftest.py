"""A checkpoint that every contestant of the benchmarks can load, and what transformers says about it."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

TEXTS = (
    "good film",
    "a bad film with no plot at all",
    "this was the best story of her life, really",
    "the " * 40,
)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A few texts of different lengths."""
    return list(TEXTS)


@pytest.fixture(scope="session")
def padded_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with a zero embedding for [PAD].

    MobileBERT's trigram input sees the token after a text's last one, so with any other embedding
    transformers' own logits depend on whether a text was padded.
    """
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("padded") / "checkpoint"))
    weights = load_file(folder / "model.safetensors")
    weights["mobilebert.embeddings.word_embeddings.weight"][0] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def torch_labels(padded_checkpoint: Path) -> list[str]:
    """Labels of transformers' model for the texts, each alone and unpadded: the oracle."""
    return _labels(padded_checkpoint)


@pytest.fixture(scope="session")
def tiny_labels(tiny_checkpoint: Path) -> list[str]:
    """The same for the checkpoint that the shared server serves."""
    return _labels(tiny_checkpoint)


def _labels(checkpoint: Path) -> list[str]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    with torch.inference_mode():
        best = [int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) for text in TEXTS]
    return [model.config.id2label[number] for number in best]
