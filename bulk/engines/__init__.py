"""Who scores: this machine's cores, a Ray cluster, or a running server."""
