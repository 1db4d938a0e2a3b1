"""The sections of a run: each measures one thing and returns raw samples as JSON."""
