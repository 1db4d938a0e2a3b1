"""The labels that a config.json names, as transformers reads them; what would fail there is refused here."""

from collections.abc import Mapping
from typing import Any

from export.errors import CheckpointError

# Some classifiers tell tens of thousands of labels apart; more is a damaged file.
MAX_LABELS = 100_000


def read_labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """id2label in the order of the logits; LABEL_0, LABEL_1, ... of `num_labels` (2 by default) without it.

    Raises:
        CheckpointError: id2label is no mapping of the numbers 0, 1, 2, ... to names.
    """
    named = raw.get("id2label")
    if named is None:
        return tuple(f"LABEL_{index}" for index in range(_count(raw.get("num_labels"))))
    if not isinstance(named, Mapping) or not named:
        raise CheckpointError(
            'config.json: id2label must map numbers to names, such as {"0": "bad", "1": "good"}'
        )
    labels = {_number(key, named): _name(key, label) for key, label in named.items()}
    for index in range(len(labels)):
        if index not in labels:
            raise CheckpointError(
                f"config.json: id2label names {len(labels)} labels but not number {index}: add it, in the "
                "order of the classifier's rows"
            )
    return tuple(labels[index] for index in range(len(labels)))


def _count(given: Any) -> int:
    if given is None:
        return 2
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_LABELS:
        raise CheckpointError(
            f"config.json: num_labels is {given!r}: it must be an integer of 1 to {MAX_LABELS:,}"
        )
    return given


def _number(key: Any, named: Mapping[str, Any]) -> int:
    try:
        return int(key)
    except (TypeError, ValueError):
        swapped = all(str(value).isdecimal() for value in named.values())
        advice = (
            "it is the wrong way round (that is label2id)" if swapped else "its keys must be 0, 1, 2, ..."
        )
        raise CheckpointError(f"config.json: id2label has the key {key!r}: {advice}") from None


def _name(key: Any, label: Any) -> str:
    if label is None or isinstance(label, Mapping | list):
        raise CheckpointError(
            f"config.json: id2label gives number {key} the name {label!r}: it must be a text"
        )
    return str(label)
