"""Failures that a person can repair; each message says how."""


class ServingError(RuntimeError):
    """The server cannot start or did not stay up. The message is one line and says what to do."""
