"""The report: raw samples (`run.store`) come in; report.md, plots and docs/benchmarks.md's tables go out.

`figures` reads the samples, `targets` judges them, `*_table(s)` and `plots` show them.
Open `render.py` first, then `chapters.py` for what the report contains.
"""
