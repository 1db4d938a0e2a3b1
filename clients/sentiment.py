"""What the server says about one text."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The answer for one text.

    label: the name of the most probable class, as the checkpoint's config.json spells it.
    score: the probability of that label, 0 to 1.
    probabilities: one value a class, in the order of the class ids; they sum to 1.
    num_tokens: how many tokens the model read, [CLS] and [SEP] counted.
    truncated: True where the text had more tokens than the model reads, and its end was cut off.
    """

    label: str
    score: float
    probabilities: tuple[float, ...]
    num_tokens: int
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values, for json.dumps."""
        return asdict(self)
