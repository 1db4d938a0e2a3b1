"""From raw samples to a report: figures, targets, tables, plots."""
