"""A soak: clients of every kind ask while processes die and models reload; every answer is checked.

`questions` knows the right answers, `callers` ask, `faults` break things, `traffic` counts what came back.
Open `__main__.py` first.
"""
