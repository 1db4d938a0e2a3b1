"""The precisions: a `Checkpoint` comes in; a model goes out in fp32, fp16 or int8.

`tensor_ranges` tells fp16 and int8 how large every tensor gets, and `rebasing` scales them without changing
what the model computes. `emulation` shows on a CPU what a GPU makes of fp16. `int8` makes the scales of
activations, `int8_weights` those of weights, `int8_equalize` balances channels.
Open `registry.py` for the list, then `fp16.py` or `int8.py` for the equations.
"""
