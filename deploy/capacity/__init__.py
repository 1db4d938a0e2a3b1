"""How many replicas a load needs: a simulation from measured service times.

In: requests a second, lengths of texts, what a token costs, a target for the latency. Out: a table of
replicas, and what a sudden load does while the autoscaler catches up. Open `simulation.py` first.
"""
