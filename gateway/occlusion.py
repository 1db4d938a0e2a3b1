"""Which words carried a decision: the model is asked again about the text without each of them.

The weight of a unit (a word, a sentence) is how much the log-odds of the text's own label fall without it:

    odds(text) = ln p - ln(1 - p)            p: probability of the label that the whole text got
    weight(i)  = odds(text) - odds(text without characters start[i] .. end[i])

Above 0 the unit speaks for the label, below 0 against it. Log-odds are used because the probability of a sure
answer hardly moves. `drop` is the same difference of probabilities. Nothing is estimated or sampled: every
weight is the difference of two answers of the model. This is the occlusion of Zeiler and Fergus
(https://arxiv.org/abs/1311.2901), on words.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["word", "sentence"]
MOST_UNITS = 63  # with the text itself, a request of 64
TOKEN_BUDGET = 32_768  # tokens that one explanation may cost the model
SMALLEST = 1e-9

# Scripts without spaces: each character is a word.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+(?:['\u2019-]\w+)*")
STOPS = r".!?\u2026\u3002\uff01\uff1f"
SENTENCE = re.compile(rf"[^\s{STOPS}][^{STOPS}\n]*(?:[{STOPS}]+[\"'\u201d\u2019)\]]*)?")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters start to end (exclusive) of a text, counted in Unicode code points."""

    start: int
    end: int

    def cut_from(self, text: str) -> str:
        """The text without these characters."""
        return text[: self.start] + text[self.end :]


def most_units(num_tokens: int) -> int:
    """How many units of a text of this length may be left out, one after the other."""
    return max(1, min(MOST_UNITS, TOKEN_BUDGET // max(num_tokens, 1)))


def split(text: str, unit: Unit | Literal["auto"], most: int, within: Span) -> tuple[Unit, list[Span]]:
    """The units inside `within`, and their kind; "auto" takes words where there are no more than `most`.

    Where there are more units than `most`, neighbours are joined into groups of equal numbers.
    """
    words = _spans(WORD, text, within)
    if unit == "word" or (unit == "auto" and len(words) <= most):
        return "word", grouped(words, most)
    return "sentence", grouped(_spans(SENTENCE, text, within), most)


def grouped(spans: Sequence[Span], most: int) -> list[Span]:
    """At most `most` spans, each from the start of its first unit to the end of its last."""
    size = math.ceil(len(spans) / most) if spans else 1
    groups = [spans[start : start + size] for start in range(0, len(spans), size)]
    return [Span(group[0].start, group[-1].end) for group in groups]


def log_odds(label: str, probabilities: Mapping[str, float], alone: bool = False) -> float:
    """ln p - ln(1 - p), where 1 - p is summed from the others, so that a p next to 1 keeps its digits.

    `alone`: the labels are independent (multi-label), so 1 - p is not summed.
    """
    chosen = probabilities[label]
    others = 1 - chosen if alone else sum(value for name, value in probabilities.items() if name != label)
    return math.log(max(chosen, SMALLEST)) - math.log(max(others, SMALLEST))


def _spans(pattern: re.Pattern[str], text: str, within: Span) -> list[Span]:
    return [Span(*match.span()) for match in pattern.finditer(text, within.start, within.end)]
