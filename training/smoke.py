"""The whole path on a CPU in under two minutes: raw text -> fine-tuned checkpoint -> export accepts it.

    python -m training.smoke          # or: make train-smoke

Fine-tunes the shipped model on a handful of short reviews written for this repository, checks that the
outputs are all there, and has `python -m export` publish the checkpoint into a temporary model repository.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

REVIEWS = Path(__file__).with_name("smoke_reviews.csv")
OUTPUTS = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "metrics.json",
    "README.md",
    "golden.jsonl",
    "activation_ranges.safetensors",
    "curves.png",
    "confusion.png",
    "calibration.png",
    "length.png",
)


def fine_tune(base_model: Path, output: Path, work: Path) -> None:
    """Run `training.finetune` on the smoke reviews with fixed settings. Raises `CalledProcessError`."""
    options = {
        "data": REVIEWS,
        "base-model": base_model,
        "output": output,
        "work": work,
        "epochs": 2,
        "batch-size": 8,
        "learning-rate": 2e-4,
        "held-out": 0.25,
        "range-texts": 16,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "training.finetune", *words, "--restart"], check=True)


def publish(checkpoint: Path, repository: Path, python: str) -> None:
    """Have `python -m export publish` take the checkpoint. Raises `CalledProcessError`."""
    command = [
        python,
        "-m",
        "export",
        "publish",
        "--checkpoint",
        str(checkpoint),
        "--repository",
        str(repository),
    ]
    subprocess.run(command, check=True)


def main(
    base_model: Annotated[Path, typer.Option(help="The checkpoint to start from.")] = Path(
        "checkpoints/mobilebert-imdb"
    ),
    output: Annotated[Path, typer.Option(help="Where the fine-tuned checkpoint goes.")] = Path(
        "runs/smoke/checkpoint"
    ),
    export_python: Annotated[
        str, typer.Option(help="The interpreter that runs the export.")
    ] = sys.executable,
    export: Annotated[bool, typer.Option(help="Publish the checkpoint, too.")] = True,
) -> None:
    """Fine-tune on a few reviews and prove that the checkpoint exports."""
    console = Console()
    try:
        fine_tune(base_model, output, output.with_name("work"))
        missing = [name for name in OUTPUTS if not (output / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{output} lacks {', '.join(missing)}")
        if export:
            with tempfile.TemporaryDirectory() as repository:
                publish(output, Path(repository), export_python)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        console.print(f"[red]failed[/red]: {error}")
        raise typer.Exit(1) from error
    score = json.loads((output / "metrics.json").read_text())["report"]["f1"]["value"]
    console.print(f"[green]passed[/green]: {output}, F1 {score:.3f} on the held-out reviews")


if __name__ == "__main__":
    typer.run(main)
