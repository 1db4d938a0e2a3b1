"""How the commands end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from .errors import SentimentError

INTERRUPTED = 130
BROKEN_PIPE = 141


@contextmanager
def exit_codes(*others: type[Exception]) -> Iterator[None]:
    """Turns what may go wrong into a line on standard error and an exit code. others: of code 1, too."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        _leave_a_stalled_reader()
        fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader has closed the pipe (`head` does). What is still buffered must not fail again at exit.
        _discard_output()
        raise typer.Exit(BROKEN_PIPE) from None
    except (SentimentError, ValueError) as error:
        fail(str(error))
    except others as error:
        fail(str(error))


def _leave_a_stalled_reader() -> None:
    """Hand over what standard output takes at once: a full pipe (a pager's, say) would hold up the exit."""
    os.set_blocking(sys.stdout.fileno(), False)
    try:
        sys.stdout.flush()
        stalled = False
    except BlockingIOError:
        stalled = True
    os.set_blocking(sys.stdout.fileno(), True)
    if stalled:
        _discard_output()


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int = 1) -> None:
    """Ends the command with this line."""
    typer.secho(f"error: {message}", err=True, fg="red")
    raise typer.Exit(code) from None
