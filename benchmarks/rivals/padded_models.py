"""Lays the padded rival out beside ours in one Triton repository, so that one server serves both."""

import shutil
from pathlib import Path

from benchmarks.rivals.padded import export_padded

CONFIGS = Path(__file__).with_name("padded_repository")
ENSEMBLES = ("padded", "padded_unbatched")
TOKENIZERS = ("padded_tokenizer", "padded_tokenizer_unbatched")
MODELS = (*ENSEMBLES, *TOKENIZERS, "padded_fp32")


def add_padded_models(checkpoint: Path, repository: Path) -> None:
    """Put the configs, the tokenizer and the exported padded graph of ``checkpoint`` into ``repository``."""
    for name in MODELS:
        shutil.rmtree(repository / name, ignore_errors=True)
        (repository / name / "1").mkdir(parents=True)
        shutil.copy(CONFIGS / name / "config.pbtxt", repository / name)
    for name in TOKENIZERS:
        shutil.copy(CONFIGS / TOKENIZERS[0] / "model.py", repository / name / "1")
        shutil.copy(checkpoint / "tokenizer.json", repository / name / "1")
    export_padded(checkpoint, repository / "padded_fp32" / "1" / "model.onnx")
