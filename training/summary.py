"""How a data file was understood, as a table that is printed before any training starts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from training.data import Examples

SHOWN_CLASSES = 20
FEW = 10


def summary_rows(examples: Examples) -> list[tuple[str, str]]:
    """(what, value) of each line: rows, classes with counts, longest text, rows dropped, notes."""
    lengths = np.array([len(text) for text in examples.texts])
    longest = int(lengths.argmax())
    rows = [
        ("rows", f"{len(examples.texts):,}"),
        ("rows dropped", f"{examples.dropped:,} without a text or a label" if examples.dropped else "none"),
        *(_targets(examples) if examples.regression else _classes(examples)),
        ("longest text", f"{lengths[longest]:,} characters (row {examples.numbers()[longest]})"),
        ("median text", f"{int(np.median(lengths)):,} characters"),
        ("texts of several lines", f"{sum(chr(10) in text.strip() for text in examples.texts):,}"),
        *_repeated(examples),
        *(("understood", note) for note in examples.notes),
    ]
    return rows


def print_summary(title: str, examples: Examples, console: Console | None = None) -> None:
    """Print the summary of `examples` under `title`."""
    table = Table(title=Text(title), show_header=False, title_justify="left")
    for name, value in summary_rows(examples):
        table.add_row(Text(name), Text(value))
    (console or Console()).print(table)


def _targets(examples: Examples) -> list[tuple[str, str]]:
    return [
        (f"value {name}", f"{values.min():g} to {values.max():g}, mean {values.mean():.3g}")
        for name, values in zip(examples.names, examples.labels.T, strict=True)
    ]


def _classes(examples: Examples) -> list[tuple[str, str]]:
    counts = examples.counts()
    shown = np.argsort(-counts, kind="stable")[:SHOWN_CLASSES] if len(counts) > SHOWN_CLASSES else None
    places = range(len(counts)) if shown is None else sorted(shown.tolist())
    rows = [(f"label {place}", f"{examples.names[place]}: {counts[place]:,}") for place in places]
    if shown is not None:
        others = len(counts) - SHOWN_CLASSES
        rest = np.delete(counts, shown)
        rows.append(
            (f"{others} other labels", f"{rest.min():,} to {rest.max():,} each, {rest.sum():,} in all")
        )
    few = int((counts < FEW).sum())
    if few:
        rows.append((f"labels with fewer than {FEW} texts", f"{few:,}: too few to learn or to judge by"))
    if examples.multi_label:
        rows.append(("texts without a label", f"{int((examples.labels.sum(axis=1) == 0).sum()):,}"))
    return rows


def _repeated(examples: Examples) -> list[tuple[str, str]]:
    """Texts that occur more than once, and those whose labels then differ."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(examples.texts):
        places[text].append(place)
    repeated = [group for group in places.values() if len(group) > 1]
    if not repeated:
        return []
    rows = [("texts that occur again", f"{sum(len(group) - 1 for group in repeated):,}")]
    at_odds = [group for group in repeated if len(np.unique(examples.labels[group], axis=0)) > 1]
    if at_odds:
        first = " and ".join(str(number) for number in examples.numbers()[at_odds[0]][:2])
        rows.append(("texts with different labels", f"{len(at_odds):,} (such as rows {first})"))
    return rows
