"""What the server says about one text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The answer for one text.

    label: the name of the most probable class, as the checkpoint's config.json spells it.
    score: the probability of that label, 0 to 1.
    probabilities: one value a class, in the order of the class ids; they sum to 1, except where a text may
    have several labels. Empty for a regression.
    num_tokens: how many tokens the model read, [CLS] and [SEP] counted.
    truncated: True where the text had more tokens than the server reads (4,096 unless configured otherwise),
        and some were left out.
    num_windows: in how many windows a long text was read; 1 for a text of up to 512 tokens.
    labels: of a model that may give several: those above the threshold that it was published with, or none.
    values: of a regression: one a target; `label` is the target with the largest, `score` that value.
    """

    label: str
    score: float
    probabilities: tuple[float, ...]
    num_tokens: int
    truncated: bool
    labels: tuple[str, ...] | None = None
    values: tuple[float, ...] | None = None
    num_windows: int = 1

    def above(self, threshold: float, names: Sequence[str]) -> tuple[str, ...]:
        """The labels of at least this probability. `names`: the model's labels, `client.labels()`."""
        pairs = zip(names, self.probabilities, strict=True)
        return tuple(name for name, probability in pairs if probability >= threshold)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values, for json.dumps, without those that this kind of model lacks."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        if self.values is not None:
            del fields["probabilities"]
        return {name: value for name, value in fields.items() if value is not None}
