"""What a benchmark run says when it cannot go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

console = Console(stderr=True)
INTERRUPTED = "interrupted: finished sections are saved; `python -m benchmarks report` renders them"


class BenchmarkError(Exception):
    """An expected failure; the message is one line that says what to do."""


@contextmanager
def one_line_errors(interrupted: str = INTERRUPTED) -> Iterator[None]:
    """End the process with one line, not a stack trace, on what a user can mend and on Ctrl-C."""
    from serving.errors import ServingError

    # Both signals act like Ctrl-C, also in the background, where shells have SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (BenchmarkError, ServingError) as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print(interrupted)
        raise typer.Exit(130) from None
