"""The run, `python -m benchmarks`: a checkpoint and `settings` come in; raw samples go out, into raw.json.

`suite` has one module for each thing that is measured, `stage` is what all of them need, `sections` picks
those that are wanted, `store` keeps what they return.
Open `everything.py` first: it is the order of the run.
"""
