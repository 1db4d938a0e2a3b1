"""What every section needs to know: the checkpoint, how it is served, the texts, the sizes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.texts import Review, Texts
from benchmarks.measure.failures import Failures
from benchmarks.run.settings import Settings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One checkpoint, published in ``repository``; ``progress`` takes what is being measured."""

    checkpoint: Path
    repository: Path
    texts: Texts
    settings: Settings
    progress: Progress
    failures: Failures = field(default_factory=Failures)

    @property
    def reviews(self) -> list[Review]:
        """Texts of IMDB's own lengths."""
        return self.texts.by_length["imdb"]
