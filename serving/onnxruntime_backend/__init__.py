"""Triton's ``onnxruntime`` backend in Python: the part of the C++ one that a model repository relies on.

``model.py`` is the only module that knows Triton; the others are plain functions on NumPy arrays.
"""
