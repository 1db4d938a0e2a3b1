"""What every refusal of export has to look like."""

from collections.abc import Callable

import pytest

from export.errors import CheckpointError


def refused(action: Callable[[], object], match: str | None = None) -> None:
    """The action fails in one line of bearable length that matches."""
    with pytest.raises(CheckpointError, match=match) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
