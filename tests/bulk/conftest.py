"""One scorer in this process, of the repository that all tests share."""

from pathlib import Path

import pytest

from bulk import Scorer, find_model


@pytest.fixture(scope="session")
def scorer(published_repository: Path) -> Scorer:
    """Of the tiny checkpoint, in fp32."""
    return Scorer(find_model(published_repository, "sentiment"))
