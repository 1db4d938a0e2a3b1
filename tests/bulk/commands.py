"""`python -m bulk` as a user starts it, and what it writes."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
SERVER_PYTHON = ROOT / ".venv" / "server" / "bin" / "python"
WORDS = ("the", "film", "plot", "was", "good", "bad", "great", "never", "story", "love", "best", "not", "of")


def reviews(count: int, seed: int = 0, longest: int = 60) -> list[str]:
    """Texts of 1 to `longest` words, each another."""
    chance = random.Random(seed)
    return [
        f"{number} " + " ".join(chance.choices(WORDS, k=chance.randint(1, longest)))
        for number in range(count)
    ]


def write_parquet(path: Path, texts: list[Any], **options: Any) -> Path:
    """A table with the texts as `review` and their places as `id`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": range(len(texts)), "review": texts}), path, **options)
    return path


def command(repository: Path, *arguments: object, python: Path | str = sys.executable) -> list[str]:
    """A command line that scores the column `review` with the model `sentiment` of `repository`."""
    fixed = ("--text-column", "review", "--model", "sentiment", "--repository", repository)
    return [str(each) for each in (python, "-m", "bulk", "score", *arguments, *fixed)]


def bulk(repository: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    python = options.pop("python", sys.executable)
    line = command(repository, *arguments, python=python)
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=240, **options)


def scored(output: Path) -> list[dict[str, Any]]:
    """All rows of a parquet output, part after part."""
    paths = sorted(path for path in output.rglob("*.parquet") if "_bulk" not in path.parts)
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def title(process: psutil.Process) -> str:
    """Its command line; empty when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
