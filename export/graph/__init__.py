"""The graph: a `Checkpoint` comes in, an ONNX model of it goes out; how products are written is left open.

Norms fold away (`algebra`, `folding`), rows are packed and long ones cut (`packing`, `windows`), and
`assembly` writes all of it down. `running` feeds such a model with texts, for those who measure it.
Open `assembly.py` first: its `Precision` is what the next package overrides.
"""
