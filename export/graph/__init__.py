"""The graph: a `Checkpoint` comes in, an ONNX model of it goes out.

`algebra` and `folding` remove the norms. `packing` and `windows` pack the rows and cut long ones. `assembly`
writes the graph. `running` runs such a model on texts, for measurements.
Open `assembly.py` first: `export.precision` overrides its `Precision`, which writes the products.
"""
