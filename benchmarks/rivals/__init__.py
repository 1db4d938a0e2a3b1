"""The rivals: the Flask app that this repository replaces, and the plain padded export on Triton."""
