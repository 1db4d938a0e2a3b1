"""Benchmarks of the served classifier against its rivals, on one machine, in one run.

    python -m benchmarks                        # everything, under 25 minutes on 2 cores
    python -m benchmarks --quick                # a first look, under 10 minutes
    python -m benchmarks --rivals               # infinity-emb, LitServe and BentoML, too
    python -m benchmarks report                 # render the report again from raw.json
    python -m benchmarks fetch-perf-analyzer    # the real perf_analyzer, into .cache/

Results go to ``benchmarks/results/<machine>/``: raw samples (JSON), a report (Markdown), plots (PNG).

Commands, each on its own (``python -m benchmarks.memory --help``): accuracy, background, bulk, compare,
gateway, haproxy, int8_rivals, int8_tune, long_cost, long_documents, memory, overhead, overload, soak. What
they share is in packages; each imports only those before it (see pyproject.toml):

    errors, paths -> measure -> load -> rivals, perf_analyzer -> servers -> run -> report
"""
