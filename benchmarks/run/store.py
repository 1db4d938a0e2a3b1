"""Raw samples on disk: one JSON file a machine, a section at a time, never half written."""

import json
from pathlib import Path
from typing import Any

import durable
from benchmarks.errors import BenchmarkError


class Store:
    """The raw results of one machine; each finished section is saved at once, so Ctrl-C keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "raw.json"
        self.data: dict[str, Any] = {"run": {}, "measured": {}, "sections": {}}

    def load(self) -> "Store":
        """Read what an earlier run left.

        Raises:
            BenchmarkError: there is no raw.json, or it is not JSON.
        """
        try:
            self.data = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BenchmarkError(f"{self.path} does not exist: run `python -m benchmarks` first") from None
        except json.JSONDecodeError as error:
            raise BenchmarkError(f"{self.path} is not JSON ({error}): delete it and run again") from None
        return self

    def describe_run(self, **facts: Any) -> None:
        """Record facts about the run as a whole (machine, settings, versions)."""
        self.data["run"].update(facts)
        self._save()

    def put(self, section: str, content: Any, **facts: Any) -> None:
        """Save the samples of one finished section, and facts about their measurement (when, how long)."""
        self.data["sections"][section] = content
        self.data["measured"][section] = facts
        self._save()

    def get(self, section: str) -> Any:
        """The samples of a section, None where it was not measured."""
        return self.data["sections"].get(section)

    def _save(self) -> None:
        durable.write_text(self.path, json.dumps(self.data, ensure_ascii=False) + "\n")
