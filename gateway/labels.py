"""What a model's Triton configuration says about it: label names, version, kind of problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clients.tensors import read_labels, read_parameter

SINGLE = "single_label_classification"


@dataclass(frozen=True)
class Description:
    """labels: in the order of the probabilities; empty where the configuration names none."""

    labels: tuple[str, ...]
    versions: tuple[int, ...]
    max_batch_size: int
    problem_type: str

    def named(self, values: Sequence[float]) -> dict[str, float]:
        """The values by label, the largest first; a class without a name goes by its number."""
        names = self.labels if len(self.labels) == len(values) else tuple(map(str, range(len(values))))
        return dict(sorted(zip(names, values, strict=True), key=lambda pair: -pair[1]))


def describe(config: Mapping[str, Any]) -> Description:
    """Reads a model configuration in its JSON form."""
    policy = config.get("version_policy", {}).get("specific", {})
    return Description(
        labels=read_labels(config),
        versions=tuple(int(version) for version in policy.get("versions", [])),
        max_batch_size=int(config.get("max_batch_size", 0)),
        problem_type=read_parameter(config, "problem_type") or SINGLE,
    )
