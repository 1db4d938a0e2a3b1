"""Bulk scoring, measured: see `__main__`."""
