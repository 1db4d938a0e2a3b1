"""Measures sections and saves each as it ends; a run of some sections keeps the others as they are."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from benchmarks.measure.failures import Failures
from benchmarks.run.store import Store

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Sections:
    """``only`` names the sections to measure, by whole name or by the part after the dot; empty means all."""

    def __init__(self, store: Store, only: Collection[str] = ()) -> None:
        self.store, self.only = store, frozenset(only)
        self.failures, self.failed = Failures(), dict[str, dict[str, str]]()
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
        """Call ``function``, save and return its result; what is not wanted comes from the store.

        A function that raises has no result (None); the section's name gets the reason.
        """
        if not self.wants(name):
            return self.store.get(name)
        began = time.perf_counter()
        content = None
        with self.failures.cost_only(name):
            content = function(*arguments, **options)
        seconds = round(time.perf_counter() - began, 1)
        self.store.put(name, content, run=self._started, seconds=seconds, failed=self._failed(name))
        return content

    @contextmanager
    def cost_only(self, name: str) -> Iterator[None]:
        """What fails inside, outside of a section, is saved as the failure of ``name``; the run goes on."""
        with self.failures.cost_only(name):
            yield
        if failed := self._failed(name):
            self.store.put(name, None, run=self._started, failed=failed)

    def _failed(self, name: str) -> dict[str, str]:
        failed = self.failures.take()
        if failed:
            self.failed[name] = failed
        return failed


def part_of(name: str) -> str:
    """The part after the dot: `table` of `layers24.table`."""
    return name.rsplit(".", 1)[-1]
