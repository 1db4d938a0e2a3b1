"""Triton's ``onnxruntime`` backend in Python: the part of the C++ one that a model repository relies on.

``model.py`` and ``metrics.py`` are the modules that know Triton; the others know NumPy and ONNX Runtime.
"""
