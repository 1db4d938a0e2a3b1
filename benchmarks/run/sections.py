"""Measures sections and saves each as it ends; a run of some sections keeps the others as they are."""

import time
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

from benchmarks.run.store import Store

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Sections:
    """``only`` names the sections to measure, by whole name or by the part after the dot; empty means all."""

    def __init__(self, store: Store, only: Collection[str] = ()) -> None:
        self.store, self.only = store, frozenset(only)
        self._started = time.strftime("%Y-%m-%d %H:%M", time.gmtime())

    def wants(self, name: str) -> bool:
        """Whether this run measures the section."""
        return not self.only or bool({name, part_of(name)} & self.only)

    def measure(
        self,
        name: str,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Any:
        """Call ``function``, save and return its result; what is not wanted comes from the store."""
        if not self.wants(name):
            return self.store.get(name)
        began = time.perf_counter()
        content = function(*arguments, **options)
        self.store.put(name, content, run=self._started, seconds=round(time.perf_counter() - began, 1))
        return content


def part_of(name: str) -> str:
    """The part after the dot: `table` of `layers24.table`."""
    return name.rsplit(".", 1)[-1]
