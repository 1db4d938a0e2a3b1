"""`python -m bulk score reviews/ --output scored --text-column review`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bulk.command import FORMS, Engine, Options, run
from bulk.errors import BulkError
from bulk.plan import UNIT_ROWS
from bulk.progress import console
from clients.endpoint import Protocol
from clients.limits import Limits

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
STOPPED, INTERRUPTED = 1, 130


@app.callback()
def main() -> None:
    """Scores whole tables with the models of this repository."""


@app.command()
def score(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, URLs: parquet, CSV, TSV, JSON lines (.gz, .zst)."),
    ],
    output: Annotated[str, typer.Option(help="Folder or URL; what is there already goes on.")],
    text_column: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    model: Annotated[str, typer.Option(help="sentiment, or sentiment_fast.")] = "sentiment_fast",
    engine: Annotated[Engine, typer.Option(help="Who scores.")] = Engine.local,
    form: Annotated[str, typer.Option("--format", help=f"Of the output: {', '.join(FORMS)}.")] = "parquet",
    restart: Annotated[bool, typer.Option("--restart", help="Remove what is done, and begin anew.")] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes (local), actors (ray) at most; 0: a core each.")
    ] = 0,
    unit_rows: Annotated[
        int, typer.Option(min=1, help="Rows of a unit, which is done whole or again.")
    ] = UNIT_ROWS,
    repository: Annotated[Path, typer.Option(help="The exported models.")] = Path("model_repository"),
    url: Annotated[str | None, typer.Option(help="Of the server (triton).")] = None,
    protocol: Annotated[Protocol, typer.Option(help="Of the server (triton).")] = "http",
    in_flight: Annotated[
        int, typer.Option(min=1, help="Requests at the same time (triton).")
    ] = Limits.max_in_flight,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster: auto, host:port or ray://...; this machine without it."),
    ] = None,
) -> None:
    """Score tables. The same command again goes on where it was stopped, whatever stopped it.

    Exit codes: 0 every row has an answer, 1 stopped (the line says why), 2 wrong usage, 3 some rows have an
    error, 4 some files could not be read, 130 interrupted.
    """
    with _one_line_errors():
        options = Options(
            inputs, output, text_column, model, engine, form, restart, workers, unit_rows, repository, url,
            protocol, in_flight, ray_address,
        )  # fmt: skip
        code = run(options)
    raise typer.Exit(code)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BulkError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED) from None
    except KeyboardInterrupt:
        console.print("interrupted: what is done is kept; the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
