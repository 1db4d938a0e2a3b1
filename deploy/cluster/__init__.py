"""Several Triton servers on one machine behind HAProxy: a production set-up, small enough to try."""
