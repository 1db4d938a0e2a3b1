"""Measuring: a process, a server or a machine comes in; figures of it go out. Nothing here sends load.

`processes`, `sampler`: processor time, memory. `triton_stats`: where a request's time went. `machine`,
`peak`, `flops`: what the hardware could do, and the model needs. `summary`: statistics of samples.
Open `processes.py` first.
"""
