"""The suite: a `Stage`, mostly with a live `Arena`, comes in; raw samples of one section, as JSON, go out.

Open `load_curves.py` first: the others are built like it.
"""
