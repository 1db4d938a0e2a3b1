"""The embedded server: assembles a Triton runtime from PyPI parts and launches it.

The package also carries the Python-based ``onnxruntime`` backend (:mod:`serving.onnxruntime_backend`), which
Triton imports from a copy; keep this file free of imports.
"""
