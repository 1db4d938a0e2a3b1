"""What can go wrong with a cluster, in a sentence for its user."""


class ClusterError(RuntimeError):
    """The message says what to do."""
