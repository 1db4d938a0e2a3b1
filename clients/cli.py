"""The command line: `python -m clients "Great film"`, or `-` to score the lines of standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from . import submit_cli
from .client import SentimentClient
from .endpoint import Protocol
from .exits import exit_codes, fail
from .limits import Limits
from .lines import paired, read_lines
from .pipeline import Outcome
from .printing import JsonPrinter, LinePrinter, Printer, TablePrinter

app = typer.Typer(add_completion=False)


@app.command()
def main(
    texts: Annotated[list[str], typer.Argument(help="Texts to classify, or - for one text a line of stdin.")],
    url: Annotated[str | None, typer.Option(help="host:port, http(s)://... or grpc(s)://...")] = None,
    protocol: Annotated[Protocol, typer.Option(help="Default ports: http 8000, grpc 8001.")] = "http",
    model: Annotated[str, typer.Option(help="sentiment, or sentiment_fast.")] = "sentiment",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    line_buffered: Annotated[
        bool, typer.Option("--line-buffered", help="Answer each line before reading on.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a server that is still starting.")] = 0.0,
    timeout: Annotated[float, typer.Option(help="Seconds that one request may take.")] = Limits.timeout,
    max_in_flight: Annotated[int, typer.Option(help="Requests at the same time.")] = Limits.max_in_flight,
) -> None:
    """Classifies texts on a running Triton server (start it with `make serve`).

    A text that begins with a dash goes after `--`, and so does the text "submit".

    `submit FILE` instead of texts scores a file in the background: see `submit --help`.

    Exit codes: 0 all classified, 1 the server or a text failed, 2 wrong usage, 130 interrupted.
    """
    if "-" in texts and len(texts) > 1:
        raise typer.BadParameter("- reads standard input and stands alone.")
    from_stdin = texts == ["-"]
    with exit_codes():
        limits = Limits(timeout=timeout, max_in_flight=max_in_flight)
        with SentimentClient(url, protocol, model, limits) as client:
            if wait:
                client.wait_until_ready(wait)
            client.connect()
            printer = _printer(as_json, from_stdin, flush=line_buffered)
            results = _from_stdin(client, line_buffered) if from_stdin else paired(client, texts)
            refused = printer.print_all(results)
    if refused:
        fail(f"{refused} text(s) refused by the server or not valid; the others are classified")


def program() -> str:
    """How a person started it: the installed command, or `python -m` with the package's name."""
    name = Path(sys.argv[0]).name
    return f"python -m {__package__}" if name == "__main__.py" else name


def run() -> None:
    """The entry point; texts may hold any character whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    if sys.argv[1:2] == ["submit"]:
        del sys.argv[1]
        submit_cli.app(prog_name=f"{program()} submit")
    app(prog_name=program())


def _from_stdin(client: SentimentClient, line_buffered: bool) -> Iterator[tuple[str, Outcome]]:
    lines = read_lines(sys.stdin.fileno())
    if line_buffered:
        results: Iterator[tuple[str, Outcome]] = (pair for line in lines for pair in paired(client, [line]))
    else:
        results = paired(client, lines)
    # A bar between the printed lines of a terminal would be noise.
    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    return iter(tqdm(results, unit=" texts", disable=hidden))


def _printer(as_json: bool, from_stdin: bool, flush: bool) -> Printer:
    if as_json:
        return JsonPrinter(flush)
    return TablePrinter() if sys.stdout.isatty() and not from_stdin else LinePrinter(flush)
