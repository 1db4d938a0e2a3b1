"""What a benchmark run says when it cannot go on."""


class BenchmarkError(Exception):
    """An expected failure; the message is one line that says what to do."""
