"""What a person sees of a run: a bar on a terminal, a line every now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_SECONDS = 10.0
console = Console(stderr=True)


class Meter:
    """Rows and tokens so far, of `total` rows."""

    def __init__(self, total: int) -> None:
        self.total, self.rows, self.tokens = total, 0, 0
        self._began = time.monotonic()

    def add(self, rows: int, tokens: int) -> None:
        """Some more are done."""
        self.rows += rows
        self.tokens += tokens

    @property
    def seconds(self) -> float:
        """Since the first row was asked for."""
        return max(1e-9, time.monotonic() - self._began)

    @property
    def speed(self) -> str:
        """Such as "512 rows/s, 146,000 tokens/s"."""
        return f"{self.rows / self.seconds:,.0f} rows/s, {self.tokens / self.seconds:,.0f} tokens/s"

    @property
    def left(self) -> float:
        """Seconds, at the speed so far."""
        return (self.total - self.rows) * self.seconds / max(1, self.rows)


class Shown(Meter):
    """Shows itself."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        super().__init__(total)
        self._progress, self._said = progress, time.monotonic()
        self._task = progress.add_task("", total=total, speed="") if progress else None

    def add(self, rows: int, tokens: int) -> None:
        """Some more are done."""
        super().add(rows, tokens)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.rows, speed=self.speed)
        elif time.monotonic() - self._said > EVERY_SECONDS:
            self._said = time.monotonic()
            console.print(f"{self.rows:,} of {self.total:,} rows, {self.speed}, {self.left:,.0f} s left")

    def conclude(self) -> None:
        """The last line."""
        if self.rows:
            console.print(f"{self.rows:,} rows in {self.seconds:,.1f} s: {self.speed}")


@contextmanager
def shown(total: int) -> Iterator[Shown]:
    """A meter on standard error, for so many rows."""
    if not console.is_terminal:
        meter = Shown(total, None)
        yield meter
        meter.conclude()
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows, {task.fields[speed]},"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console) as progress:
        meter = Shown(total, progress)
        yield meter
    meter.conclude()
