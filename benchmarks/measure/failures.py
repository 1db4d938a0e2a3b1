"""What could not be measured, and why: a contestant that fails loses its own rows; the run goes on."""

from collections.abc import Iterator
from contextlib import contextmanager


class Failures:
    """Who failed since the last `take`, with the first reason; who has failed need not be asked again."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def __contains__(self, who: str) -> bool:
        return who in self._reasons

    @contextmanager
    def cost_only(self, who: str, doing: str = "") -> Iterator[None]:
        """Whatever is raised inside, short of Ctrl-C, becomes ``who``'s reason."""
        try:
            yield
        except Exception as error:
            what = " ".join(str(error).split()) or type(error).__name__
            self.add(who, f"{doing}: {what}" if doing else what)

    def add(self, who: str, why: str) -> None:
        """Note a failure that was met elsewhere; an earlier reason stands."""
        self._reasons.setdefault(who, why)

    def take(self) -> dict[str, str]:
        """The reasons by name; none are left."""
        taken, self._reasons = self._reasons, {}
        return taken
