"""Where the benchmarks read and write, relative to the repository root."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
RESULTS = ROOT / "benchmarks" / "results"
SHIPPED_CHECKPOINT = ROOT / "checkpoints" / "mobilebert-imdb"
SERVER_PYTHON = ROOT / ".venv" / "server" / "bin" / "python"


def imdb_folder() -> Path | None:
    """The folder of IMDB's parquet files that IMDB_DATA names, or None where there is none."""
    named = os.environ.get("IMDB_DATA")
    return Path(named) if named and (Path(named) / "test.parquet").is_file() else None
