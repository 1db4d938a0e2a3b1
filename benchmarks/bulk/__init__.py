"""Bulk scoring, measured: reviews come in; tokens a second of each way to score them go out.

Open `__main__.py` first, then `contestants.py` for the ways.
"""
