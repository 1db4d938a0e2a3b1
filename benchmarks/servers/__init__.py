"""Servers: a checkpoint comes in; live contestants, each with a caller, go out.

`random_checkpoint` makes a deeper one, `repository` publishes it with its rivals, `arena` starts all of them;
`contestants` has their names. `fp32_server` is one model alone, for those who measure the server itself.
Open `arena.py` first.
"""
