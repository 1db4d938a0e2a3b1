"""`python -m clients submit reviews.csv --wait --output scored.csv`: a task from the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .exits import exit_codes, fail
from .scored import write_scored
from .tasks import TaskClient, TaskFailed

app = typer.Typer(add_completion=False)


@app.command()
def submit(
    file: Annotated[Path | None, typer.Argument(help=".csv, .tsv, .json, .jsonl, .txt or .parquet")] = None,
    task: Annotated[
        str | None, typer.Option(help="In place of a file: a task that was submitted before.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is done, with a progress bar.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="With --wait: the results. .csv keeps a CSV's own columns.")
    ] = None,
    gateway: Annotated[
        str, typer.Option(envvar="GATEWAY_URL", help="The gateway.")
    ] = "http://127.0.0.1:8080",
    api_key: Annotated[
        str | None, typer.Option(envvar="GATEWAY_API_KEY", help="Where it asks for one.")
    ] = None,
    model: Annotated[str, typer.Option(help="sentiment, or sentiment_fast.")] = "sentiment",
    text_column: Annotated[str | None, typer.Option(help="Found where it has a usual name.")] = None,
) -> None:
    """Scores a file of any size in the background, by the gateway that `make serve` starts.

    Prints the task's id. Ctrl-C while waiting leaves the task alone; `--task ID --wait` goes on waiting.

    Exit codes: 0 done, 1 the task, a text or the gateway failed, 2 wrong usage, 130 interrupted.
    """
    if (file is None) == (task is None):
        raise typer.BadParameter("name one of a file and --task.")
    if output is not None and not wait:
        raise typer.BadParameter("--output needs --wait.")
    with exit_codes(TaskFailed, OSError):
        client = TaskClient(gateway, api_key)
        handle = client.task(task) if task else client.submit(str(file), model, text_column)
        print(handle.id, flush=True)
        if not wait:
            return
        found = handle.wait(progress=sys.stderr.isatty())
        if output is not None:
            write_scored(output, handle.results(), file)
    if found.errors:
        fail(f"{found.errors} of {found.total} texts were refused; the others are classified")
