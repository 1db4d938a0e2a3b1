"""Benchmarks of the served classifier against its rivals, on one machine, in one run.

    python -m benchmarks                        # everything, under 25 minutes on 2 cores
    python -m benchmarks --quick                # about 3 minutes, for a first look
    python -m benchmarks report                 # render the report again from raw.json
    python -m benchmarks fetch-perf-analyzer    # the real perf_analyzer, into .cache/

Results go to ``benchmarks/results/<machine>/``: raw samples (JSON), a report (Markdown), plots (PNG).

Modules beside this one are commands, each on its own: ``python -m benchmarks.memory --help``. Packages hold
what they share; each imports only packages before it (pyproject.toml holds it so):

    errors, paths -> measure -> load -> rivals, perf_analyzer -> servers -> run -> report
"""
