"""What the clients ask, and what the answer must be: the text's answer alone, on an undisturbed server."""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from export.checkpoint.reading import GOLDEN_FILE

TOLERANCE = 1e-4  # of a probability: alone and beside others, fp32 sums in another order
LONGEST_LIST = 8


@dataclass(frozen=True)
class Answer:
    """Of one text: its label, and the probabilities of all labels."""

    label: str
    probabilities: tuple[float, ...]

    def is_like(self, other: "Answer") -> bool:
        """Equal but for rounding. Labels may differ where the two largest probabilities are nearly equal."""
        if len(self.probabilities) != len(other.probabilities):
            return False
        mine, theirs = np.array(self.probabilities), np.array(other.probabilities)
        top = np.sort(theirs)[-2:]
        tie = len(top) > 1 and top[1] - top[0] < TOLERANCE
        return bool(np.abs(mine - theirs).max() < TOLERANCE and (self.label == other.label or tie))


@dataclass(frozen=True)
class Question:
    """Texts for one model, in one request."""

    model: str
    texts: tuple[str, ...]


class Questions:
    """Draws questions, short texts more often than long ones, and knows their answers.

    ask_alone: the answer of (model, text) from an undisturbed server.
    """

    def __init__(
        self, models: Sequence[str], texts: Sequence[str], ask_alone: Callable[[str, str], Answer]
    ) -> None:
        self.models, self.texts = models, texts
        self.expected = {(model, text): ask_alone(model, text) for model in models for text in texts}
        self._weights = [1 / (8 + len(text.split())) for text in texts]

    def draw(self, generator: random.Random) -> Question:
        """One text half of the time, otherwise a list."""
        count = 1 if generator.random() < 0.5 else generator.randint(2, LONGEST_LIST)
        texts = generator.choices(self.texts, self._weights, k=count)
        return Question(generator.choice(self.models), tuple(texts))

    def is_right(self, question: Question, answers: Iterable[Answer]) -> bool:
        """Whether there is one answer a text, in their order, each the one that the text gets alone."""
        given = list(answers)
        wanted = [self.expected[question.model, text] for text in question.texts]
        return len(given) == len(wanted) and all(map(Answer.is_like, given, wanted))


def shipped_texts(checkpoint: Path) -> dict[str, np.ndarray]:
    """The checkpoint's golden texts, and torch's logits for each.

    Raises BenchmarkError where the checkpoint has none.
    """
    path = checkpoint / GOLDEN_FILE
    if not path.is_file():
        raise BenchmarkError(f"{path} is missing: name a checkpoint with golden texts")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["text"]: np.array(row["logits"]) for row in rows}


def check_against_torch(questions: Questions, model: str, logits: dict[str, np.ndarray]) -> None:
    """Checks the expected answers. Raises BenchmarkError where torch gives another one."""
    for text, values in logits.items():
        wanted = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
        given = np.array(questions.expected[model, text].probabilities)
        if np.abs(given - wanted).max() > 10 * TOLERANCE:
            raise BenchmarkError(f"{model} answers {given} where torch has {wanted}: export the model anew")
