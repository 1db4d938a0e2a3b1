"""Columns with names, the choice of one by name, and the error that every reader raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN_COLUMNS = 12
SHOWN_CHARACTERS = 40


class DataError(ValueError):
    """The data cannot be trained on; the message says which row, and what to do."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file, where its content does not say.

    `encoding`: of CSV, TSV and JSON. `label_separator`: cuts a cell into several labels. `drop_incomplete`:
    leave out rows without a text or a label, instead of stopping at the first. `regression`: labels are
    numbers to predict.
    """

    encoding: str = "utf-8"
    label_separator: str = ""
    drop_incomplete: bool = False
    regression: bool = False


@dataclass
class Table:
    """`names` [columns] as they are written, `values` [columns][rows], `notes`: what was understood.

    `class_names`: names of the classes by column, where the file itself has them.
    """

    source: str
    names: Sequence[str]
    values: Sequence[list[Any]]
    notes: list[str] = field(default_factory=list)
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        """The values of the column `name`; white space and case may differ if that leaves one column.

        `a.b` is the value b inside the value a. Raises `DataError`.
        """
        return self.values[self.place(name)] if self.finds(name) else self._nested(name)

    def finds(self, name: str) -> bool:
        """Whether some column has that name."""
        return bool(_matches(self.names, name))

    def place(self, name: str) -> int:
        """The index of the column `name`; says so if it is written otherwise. Raises `DataError`."""
        places = _matches(self.names, name)
        if len(places) > 1:
            raise DataError(
                f"{self.source} has {len(places)} columns named {self.names[places[0]]!r} "
                f"(columns {_and(str(place + 1) for place in places)}); rename or delete the others."
            )
        if not places:
            raise DataError(self.without(name))
        written = self.names[places[0]]
        if written != name:
            self.note(f"column {written!r} was taken for {name!r}")
        return places[0]

    def without(self, name: str) -> str:
        """The sentence for a column that is missing."""
        shown = [column[:SHOWN_CHARACTERS] for column in self.names[:SHOWN_COLUMNS]]
        more = f" and {len(self.names) - SHOWN_COLUMNS} more" if len(self.names) > SHOWN_COLUMNS else ""
        found = ", ".join(shown) + more
        return (
            f"{self.source} has no column {name!r}; it has: {found}. Name it with an option "
            "(--text-column, --label-column); the first row of a CSV must name the columns."
        )

    def note(self, sentence: str) -> None:
        """Keep `sentence` for the summary, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _nested(self, name: str) -> list[Any]:
        head, _, rest = name.partition(".")
        if not rest or not self.finds(head):
            raise DataError(self.without(name))
        values = self.column(head)
        for key in rest.split("."):
            values = [_inside(value, key, row, self.source) for row, value in enumerate(values, start=1)]
        return values


def _matches(names: Sequence[str], name: str) -> list[int]:
    """Places of the columns named `name`: exactly, else but for white space, else but for case as well."""
    forms: tuple[Callable[[str], str], ...] = (str, str.strip, lambda text: text.strip().casefold())
    for form in forms:
        places = [place for place, column in enumerate(names) if form(column) == form(name)]
        if places:
            return places
    return []


def _inside(value: Any, key: str, row: int, source: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict) or key not in value:
        raise DataError(f"{source}, row {row}: there is no {key!r} inside {str(value)[:SHOWN_CHARACTERS]!r}.")
    return value[key]


def _and(words: Any) -> str:
    *most, last = list(words)
    return f"{', '.join(most)} and {last}" if most else last
