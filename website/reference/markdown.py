"""Pieces of Markdown."""

import html
from collections.abc import Iterable, Sequence


def paragraphs(*parts: str) -> str:
    """One below the other; empty ones are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells hold Markdown; nothing where there are no rows."""
    lines = [f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines]) if lines else ""


def text(words: str) -> str:
    """The words, escaped: nothing in them is taken for a table's bar or for HTML."""
    return html.escape(words, quote=False).replace("|", r"\|")


def code(words: str) -> str:
    """In code type, inside a table too."""
    return f"`{words.replace('|', chr(92) + '|')}`"
