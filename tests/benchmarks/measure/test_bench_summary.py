import statistics

import numpy as np
import pytest

from benchmarks.measure.summary import benchmark_row, percentile, ratio_of_medians

SAMPLES = [0.5, 0.1, 0.2, 0.4, 0.3, 9.0]


def test_row_agrees_with_the_standard_library() -> None:
    row = benchmark_row(SAMPLES)
    assert row["min"] == 0.1
    assert row["max"] == 9.0
    assert row["mean"] == pytest.approx(statistics.mean(SAMPLES))
    assert row["stddev"] == pytest.approx(statistics.stdev(SAMPLES))
    assert row["median"] == pytest.approx(statistics.median(SAMPLES))
    assert row["ops"] == pytest.approx(1 / statistics.mean(SAMPLES))
    assert row["rounds"] == 6


def test_outliers_are_beyond_a_deviation_and_beyond_the_quartiles() -> None:
    assert benchmark_row(SAMPLES)["outliers"] == "1;1"


def test_percentiles_interpolate() -> None:
    assert percentile([1, 2, 3, 4], 50) == np.median([1, 2, 3, 4])
    assert np.isnan(percentile([], 99))


def test_ratio_is_of_medians_not_of_means() -> None:
    assert ratio_of_medians([2, 2, 100], [1, 1, 1]) == 2
    assert np.isnan(ratio_of_medians([1], []))
