"""NVIDIA's perf_analyzer: fetched once, run with real texts, its CSV read back as a `Measurement`.

Open `command.py` first.
"""
