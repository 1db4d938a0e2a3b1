"""Markdown tables with aligned numbers."""

import math
from collections.abc import Sequence

Cell = str | float | int | None


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    return "\n".join([*lines, *(_line([cell(value) for value in row]) for row in rows)])


def cell(value: Cell) -> str:
    """Numbers with three significant digits (whole thousands with a comma), a dash for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(each.replace('|', '/') for each in cells)} |"
