"""`python -m benchmarks.bulk`: bulk scoring beside the best loop, the client and what people use instead.

    .venv/dev/bin/python -m benchmarks.bulk rates       # interleaved rounds on the same reviews
    .venv/dev/bin/python -m benchmarks.bulk flat        # whole commands over more and more rows
    .venv/dev/bin/python -m benchmarks.bulk engines     # local against Ray, on one node and on two
    .venv/dev/bin/python -m benchmarks.bulk memory      # a parquet file of 10 million rows
    .venv/dev/bin/python -m benchmarks.bulk nodes       # arithmetic: 100 nodes, and dollars

Reviews come from IMDB_DATA, or ship with the checkpoint (`benchmarks.load.texts`).
`engines` wants `make bulk`.
"""

import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bulk.contestants import CONTESTANTS, LOCAL, SLOW, write
from benchmarks.errors import BenchmarkError, one_line_errors
from benchmarks.load.texts import WORDS, Encoder, bulk_reviews, first_sentence
from benchmarks.measure.sampler import Sampler
from benchmarks.paths import ROOT, SERVER_PYTHON, SHIPPED_CHECKPOINT

T = TypeVar("T")
app = typer.Typer(add_completion=False, help=__doc__)
console = Console()
Repository = Annotated[Path, typer.Option(help="The exported models.")]
Rows = Annotated[int, typer.Option(min=8, help="Reviews of a round.")]
REPOSITORY = ROOT / "model_repository"


def texts_of(count: int) -> list[str]:
    """IMDB's reviews, cut at 512 tokens so that all contestants read the same."""
    return [review.text for review in bulk_reviews(SHIPPED_CHECKPOINT, count)]


@app.command()
def rates(
    repository: Repository = REPOSITORY,
    rows: Rows = 2000,
    rounds: int = 5,
    only: Annotated[list[str] | None, typer.Option(help="Contestants beside ours; repeat it.")] = None,
) -> None:
    """Tokens a second of every contestant, and the median of the rounds' ratios to `bulk, local`."""
    texts, encode = texts_of(rows), Encoder(SHIPPED_CHECKPOINT)
    chosen = picked(CONTESTANTS, LOCAL, only)
    found: dict[str, list[float]] = {name: [] for name in chosen}
    with one_line_errors():
        for number in range(rounds):
            for name, opened in chosen.items():
                mine = texts[:: SLOW.get(name, 1)]
                tokens = sum(map(len, encode(mine)))
                with opened(repository) as run:
                    run(mine[:64])
                    began = time.perf_counter()
                    run(mine)
                    found[name].append(tokens / (time.perf_counter() - began))
                console.log(f"round {number + 1}: {name} {found[name][-1]:,.0f} tokens/s")
    table = Table("contestant", "tokens/s", f"{LOCAL} is so many times it (each round)")
    for name, values in found.items():
        ratios = [ours / theirs for ours, theirs in zip(found[LOCAL], values, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        table.add_row(name, f"{statistics.median(values):,.0f}", f"{statistics.median(ratios):.2f} ({each})")
    console.print(table)


def picked(every: Mapping[str, T], ours: str, only: Sequence[str] | None) -> dict[str, T]:
    """Ours and those named in `only`; all of them where it names none."""
    return {name: each for name, each in every.items() if not only or name in (ours, *only)}


def command(source: Path, output: Path, repository: Path, *more: str) -> list[str]:
    """`python -m bulk score` of the server's environment."""
    fixed = ["--output", str(output), "--repository", str(repository)]
    return [str(SERVER_PYTHON), "-m", "bulk", "score", str(source), *fixed, *more]


def timed(line: Sequence[str]) -> tuple[float, float]:
    """Seconds of the whole command, and the rows a second that it says of its scoring."""
    began = time.perf_counter()
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(line)}: {done.stderr.strip().splitlines()[-1]}")
    said = re.findall(r"rows in [\d.,]+ s: ([\d,]+) rows/s", done.stderr)
    return time.perf_counter() - began, float(said[-1].replace(",", ""))


@app.command()
def flat(
    repository: Repository = REPOSITORY,
    sizes: Annotated[list[int], typer.Option("--size", help="Rows; repeat it.")] = [1_000, 10_000],  # noqa: B006
    short: Annotated[bool, typer.Option(help="First sentences only.")] = False,
) -> None:
    """Rows a second of the local engine over more and more rows."""
    texts = texts_of(4096)
    if short:
        texts = [first_sentence(text) for text in texts]
    table = Table("rows", "whole command, s", "rows/s of the scoring")
    with one_line_errors(), tempfile.TemporaryDirectory() as home:
        for size in sizes:
            source = write(Path(home) / f"{size}.parquet", [texts[n % len(texts)] for n in range(size)])
            seconds, rate = timed(command(source, Path(home) / f"out{size}", repository))
            table.add_row(f"{size:,}", f"{seconds:,.1f}", f"{rate:,.0f}")
    console.print(table)


@app.command()
def engines(
    repository: Repository = REPOSITORY,
    rows: Rows = 4000,
    rounds: int = 3,
    only: Annotated[list[str] | None, typer.Option(help="Ways beside local; repeat it.")] = None,
) -> None:
    """Commands of two sizes: local, Ray here, one and two nodes of a core; rows/s of the difference.

    A start of Ray takes ten seconds, a second more or less, so many rows tell more than many rounds.
    """
    texts = texts_of(rows)
    ways: dict[str, Callable[[Path, Path], list[str]]] = {
        "local": lambda source, out: command(source, out, repository, "--unit-rows", "250"),
        "ray": lambda source, out: command(source, out, repository, "--unit-rows", "250", "--engine", "ray"),
        "ray, a node of one core": lambda source, out: _nodes(1, source, out, repository),
        "ray, two nodes of one core": lambda source, out: _nodes(2, source, out, repository),
    }
    ways = picked(ways, "local", only)
    found: dict[str, list[float]] = {name: [] for name in ways}
    with one_line_errors(), tempfile.TemporaryDirectory() as home:
        sources = [write(Path(home) / f"{n}.parquet", texts[:n]) for n in (rows // 4, rows)]
        for number in range(rounds):
            for name, line in ways.items():
                seconds = [timed(line(each, Path(tempfile.mkdtemp(dir=home)) / "o"))[0] for each in sources]
                found[name].append((rows - rows // 4) / (seconds[1] - seconds[0]))
                console.log(f"round {number + 1}: {name} {seconds[0]:.1f} s, {seconds[1]:.1f} s")
    table = Table("engine", "rows/s beyond the start", "of local (each round)")
    for name, values in found.items():
        ratios = [value / base for value, base in zip(values, found["local"], strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        table.add_row(name, f"{statistics.median(values):,.0f}", f"{statistics.median(ratios):.2f} ({each})")
    console.print(table)


def _nodes(count: int, source: Path, output: Path, repository: Path) -> list[str]:
    line = command(source, output, repository, "--unit-rows", "250", "--engine", "ray")
    return [str(SERVER_PYTHON), "-m", "benchmarks.bulk.on_ray", str(count), "--", *line[3:]]


@app.command()
def memory(
    repository: Repository = REPOSITORY,
    rows: Annotated[int, typer.Option(help="Of the parquet file, in row groups of a million.")] = 10_000_000,
    seconds: Annotated[float, typer.Option(help="After which the run is stopped.")] = 240.0,
    engine: str = "local",
) -> None:
    """Peak memory (PSS) of driver and workers, Ray's processes included."""
    words = list(WORDS)
    chance = random.Random(0)
    some = [" ".join(chance.choices(words, k=chance.randint(3, 40))) for _ in range(100_000)]
    with one_line_errors(), tempfile.TemporaryDirectory() as home:
        path = Path(home) / "in.parquet"
        table = pa.table({"text": pa.array(some), "more": pa.array(range(len(some)))})
        with pq.ParquetWriter(path, table.schema) as writer:
            for _ in range(rows // 1_000_000):
                writer.write_table(pa.concat_tables([table] * 10), row_group_size=1_000_000)
        line = command(path, Path(home) / "out", repository, "--engine", engine)
        process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL)
        sampler = Sampler(process.pid, 0.5)
        with sampler:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
        done = sum(pq.read_metadata(part).num_rows for part in (Path(home) / "out").glob("*.parquet"))
    console.print(f"{rows:,} rows, {done:,} of them scored meanwhile: peak {sampler.peak:,.0f} MiB")


@app.command()
def nodes(
    rows_per_second: Annotated[float, typer.Option(help="Of one node (`rates`, `engines`).")] = 400.0,
    rows: Annotated[int, typer.Option(help="To score.")] = 100_000_000,
    unit_rows: int = 16_384,
    cores: Annotated[int, typer.Option(help="Of a node.")] = 2,
    start: Annotated[float, typer.Option(help="Seconds until a node works.")] = 120.0,
    dollars: Annotated[float, typer.Option(help="An hour of a node.")] = 0.08,
) -> None:
    """Arithmetic: units go to free cores one by one, so cores idle for a unit's time at most, at the end."""
    table = Table("nodes", "hours", "efficiency", "$ per million rows")
    unit = unit_rows / (rows_per_second / cores)
    for count in (1, 2, 10, 100):
        ideal = rows / (rows_per_second * count)
        waves = -(-rows // (unit_rows * cores * count))
        seconds = start + max(ideal, waves * unit)
        cost = seconds / 3600 * dollars * count / (rows / 1e6)
        table.add_row(str(count), f"{seconds / 3600:,.2f}", f"{ideal / seconds:.0%}", f"{cost:.3f}")
    console.print(table)


if __name__ == "__main__":
    app()
