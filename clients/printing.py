"""Outcomes on a terminal, in a pipe, or as JSON lines."""

import json
import sys
from collections.abc import Iterable
from typing import Protocol

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import InvalidText
from .pipeline import Outcome
from .sentiment import Sentiment

COLOURS = {"positive": "green", "negative": "red"}
OTHER_COLOUR = "cyan"


class Printer(Protocol):
    """Prints outcomes beside their texts; returns how many texts were refused."""

    def print_all(self, results: Iterable[tuple[str, Outcome]]) -> int: ...


class JsonPrinter:
    """One object a line: the text and the fields of its Sentiment, or the text and "error"."""

    def __init__(self, flush: bool) -> None:
        self._flush = flush

    def print_all(self, results: Iterable[tuple[str, Outcome]]) -> int:
        refused = 0
        for text, outcome in results:
            answer = outcome.to_dict() if isinstance(outcome, Sentiment) else {"error": outcome.reason}
            refused += isinstance(outcome, InvalidText)
            print(json.dumps({"text": text, **answer}, ensure_ascii=False), flush=self._flush)
        return refused


class LinePrinter:
    """`positive 0.98  the text`, one line a text; refusals go to standard error."""

    def __init__(self, flush: bool) -> None:
        self._flush = flush

    def print_all(self, results: Iterable[tuple[str, Outcome]]) -> int:
        refused = 0
        for number, (text, outcome) in enumerate(results, start=1):
            if isinstance(outcome, InvalidText):
                refused += 1
                typer.secho(f"text {number} refused: {outcome.reason}", err=True, fg="yellow")
                continue
            label = f"{named(outcome):<8}"
            if sys.stdout.isatty():
                label = typer.style(label, fg=colour(outcome.label))
            print(f"{label} {outcome.score:.2f}  {printable(text)}", flush=self._flush)
        return refused


class TablePrinter:
    """A table for the few texts of a command line."""

    def print_all(self, results: Iterable[tuple[str, Outcome]]) -> int:
        refused = 0
        table = Table("label", "score", "tokens", "text")
        for text, outcome in results:
            if isinstance(outcome, InvalidText):
                refused += 1
                table.add_row(Text("refused", "yellow"), "", "", Text(printable(outcome.reason)))
                continue
            tokens = f"{outcome.num_tokens} (cut)" if outcome.truncated else str(outcome.num_tokens)
            label = Text(named(outcome), colour(outcome.label))
            table.add_row(label, f"{outcome.score:.2f}", tokens, Text(printable(text)))
        Console().print(table)
        return refused


def named(sentiment: Sentiment) -> str:
    """The label, or those of a model that may give several: none is a dash."""
    return sentiment.label if sentiment.labels is None else ", ".join(sentiment.labels) or "-"


def colour(label: str) -> str:
    """The terminal colour of a label."""
    return COLOURS.get(label.lower(), OTHER_COLOUR)


def printable(text: str) -> str:
    """The text on one line, without the control characters that could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
