import pytest

from clients.limits import Limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"deadline": -1},
        {"batch_size": 0},
        {"batch_bytes": 0},
        {"max_in_flight": 0},
        {"window": -5},
        {"window_seconds": -0.1},
    ],
)
def test_limit_that_allows_nothing_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
