"""Failures that a person can cure, each with its remedy in the message."""


class ServingError(RuntimeError):
    """The server cannot start or did not stay up. The message is one line and says what to do."""
