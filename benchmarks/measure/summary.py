"""Statistics of samples. pytest-benchmark's own class computes its table, so both agree by construction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytest_benchmark.stats import Stats

TABLE_FIELDS = ("min", "max", "mean", "stddev", "median", "iqr", "outliers", "ops", "rounds")


def percentile(samples: Sequence[float], percent: float) -> float:
    """Percentile with linear interpolation; nan where there are no samples."""
    return float(np.percentile(samples, percent)) if len(samples) else float("nan")


def median(samples: Sequence[float]) -> float:
    """Median; nan where there are no samples."""
    return percentile(samples, 50)


def benchmark_row(seconds: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's columns (seconds; OPS in 1/s; outliers as its `x;y`) over rounds of any session."""
    stats = Stats()
    for duration in seconds:
        stats.update(duration)
    return {field: getattr(stats, field) for field in TABLE_FIELDS}


def ratio_of_medians(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """How many times larger the first median is; nan where either side is empty or the second is 0."""
    bottom = median(denominator)
    return median(numerator) / bottom if bottom else float("nan")
