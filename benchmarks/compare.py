"""`python -m benchmarks.compare a=FOLDER b=FOLDER`: which of several model repositories serves better?

Each gets a server of its own. All are up at the same time, and one at a time is under load. Rounds alternate,
so that other work of the machine affects all equally. Copy `model_repository/`, change a configuration,
compare. A server that is up already, such as one of an older commit, is named by its URL instead of a folder.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.errors import one_line_errors
from benchmarks.load import texts
from benchmarks.load.callers import Caller, triton_caller
from benchmarks.load.closed_loop import LoadResult, closed_loop
from benchmarks.measure.summary import median, percentile, ratio_of_medians
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.arena import quiet_triton

TEXTS = 256
LENGTHS = (*texts.LENGTHS, "long")  # the last: a text of 4,096 tokens, again and again
WARMING_S = 1.0


def main(
    repositories: Annotated[
        list[str], typer.Argument(help="NAME=FOLDER or NAME=URL, the one to compare with first.")
    ],
    model: Annotated[str, typer.Option(help="The ensemble to call.")] = "sentiment_fast",
    clients: Annotated[str, typer.Option(help="How many clients at a time, with commas.")] = "1,2,8,16",
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    window: Annotated[float, typer.Option(min=0.1, help="Seconds a round.")] = 3.0,
    length: Annotated[str, typer.Option(help=f"Of the texts: {', '.join(LENGTHS)}.")] = "imdb",
    checkpoint: Annotated[Path, typer.Option(help="Whose tokenizer counts tokens.")] = SHIPPED_CHECKPOINT,
) -> None:
    """Compare model repositories by a closed loop over HTTP."""
    folders = dict(each.split("=", 1) for each in repositories if "=" in each)
    levels = [int(each) for each in clients.split(",") if each.strip().isdigit()]
    if len(folders) < len(repositories) or length not in LENGTHS or not levels:
        raise typer.BadParameter(
            "give NAME=FOLDER or NAME=URL for each, --clients like 1,8, --length short, imdb, worst or long"
        )
    with one_line_errors("interrupted: nothing is kept"), ExitStack() as stack:
        reviews = [texts.long_review()] if length == "long" else _reviews(checkpoint, length)
        urls = {name: _url(each, stack) for name, each in folders.items()}
        callers = {name: triton_caller(url, model) for name, url in urls.items()}
        found = _measure(callers, reviews, levels, rounds, window)
    Console().print(tabulate(found, next(iter(folders))))


def _reviews(checkpoint: Path, length: str) -> list[texts.Review]:
    return texts.read_texts(checkpoint, TEXTS).by_length[length]


def _url(place: str, stack: ExitStack) -> str:
    """The URL of a server that is up, or of one that is started for a folder."""
    return place if place.startswith("http://") else stack.enter_context(quiet_triton(Path(place))).http_url


def _measure(
    callers: Mapping[str, Caller], reviews: list[texts.Review], levels: list[int], rounds: int, window: float
) -> dict[tuple[int, str], list[LoadResult]]:
    for caller in callers.values():
        closed_loop(caller, reviews, 1, WARMING_S)
    found: dict[tuple[int, str], list[LoadResult]] = {(n, name): [] for n in levels for name in callers}
    cases = [(level, name) for level in levels for _ in range(rounds) for name in callers]
    for level, name in track(cases, "comparing"):
        found[level, name].append(closed_loop(callers[name], reviews, level, window))
    return found


def tabulate(found: dict[tuple[int, str], list[LoadResult]], first: str) -> Table:
    """Medians over rounds, latencies over all requests of all rounds."""
    table = Table("clients", "repository", "tokens/s", f"/ {first}", "reviews/s", "p50 ms", "p99 ms")
    for (level, name), results in found.items():
        speeds = [each.tokens_per_second for each in results]
        reference = [each.tokens_per_second for each in found[level, first]]
        latencies = [latency for each in results for latency in each.latencies]
        table.add_row(
            str(level),
            name,
            f"{median(speeds):,.0f}",
            f"{ratio_of_medians(speeds, reference):.2f}x",
            f"{median([each.reviews_per_second for each in results]):.1f}",
            *(f"{1e3 * percentile(latencies, percent):.1f}" for percent in (50, 99)),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
