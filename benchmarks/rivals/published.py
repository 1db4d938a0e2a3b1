"""What the Flask app's author published, for reference: other hardware, so never part of a ratio.

Source: the benchmark table in the README of github.com/AdityaMahaddalkar/ncri-assessment-task.
"""

from dataclasses import dataclass

HARDWARE = "Intel Core i7-8750H at 2.20 GHz, 6 cores, 12 threads"
NOTE = (
    "public 24-layer MobileBERT, F1 0.887; texts cut at 128 tokens; its author says to ignore the fast rows"
)


@dataclass(frozen=True)
class Published:
    """One row of the published pytest-benchmark table, in milliseconds."""

    mean_ms: float
    stddev_ms: float
    median_ms: float
    rounds: int


TABLE = {
    "positive_query": Published(230.5865, 28.8366, 224.0515, 50),
    "negative_query": Published(226.8281, 13.3725, 223.3805, 50),
    "single_on_fast_model": Published(265.8581, 15.5806, 261.7750, 50),
    "multiple_queries_on_batch_endpoint": Published(8904.6128, 0.0, 8904.6128, 1),
    "multiple_queries_on_basic_endpoint": Published(12541.1664, 0.0, 12541.1664, 1),
    "all_queries_on_batch_endpoint": Published(799223.0441, 0.0, 799223.0441, 1),
    "all_queries_on_basic_endpoint": Published(1846147.4380, 0.0, 1846147.4380, 1),
}
