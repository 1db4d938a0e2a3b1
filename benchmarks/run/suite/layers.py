"""What each layer of a request costs under 8 clients: HTTP, tokenizer, queues, inference."""

import time

from benchmarks.load.closed_loop import LoadResult, closed_loop
from benchmarks.measure.machine import usable_cores
from benchmarks.measure.triton_stats import PARTS, ModelStats, read_run_core_seconds, read_stats
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import Arena
from benchmarks.servers.contestants import OURS, PADDED, TRITON_MODELS, Contestant

CLIENTS = 8
# Long, because the last requests of a window leave cores idle; the counter of runs lags by half a second.
WINDOWS, COUNTED = 2, 0.7


def measure_layers(stage: Stage, arena: Arena) -> dict[str, dict]:
    """Milliseconds a request by layer; `outside_runs` is the cores' share of time outside of runs."""
    url = arena.triton.metrics_url
    found = {}
    for key in (PADDED, *OURS):
        with stage.failures.cost_only(key):
            found[key] = _measure(stage, arena.contestants[key], url)
    return found


def _measure(stage: Stage, contestant: Contestant, metrics_url: str) -> dict:
    stage.progress(f"layers of {contestant.key}")
    ensemble, tokenizer, model = TRITON_MODELS[contestant.key]
    parts = {"ensemble": ensemble, "tokenizer": tokenizer, "model": model}
    time.sleep(COUNTED)
    ran = read_run_core_seconds(metrics_url, model)
    before = {part: read_stats(contestant.base_url, name) for part, name in parts.items()}
    began = time.perf_counter()
    result = closed_loop(contestant.single, stage.reviews, CLIENTS, WINDOWS * stage.settings.window)
    seconds = time.perf_counter() - began
    spent = {part: read_stats(contestant.base_url, name).since(before[part]) for part, name in parts.items()}
    time.sleep(COUNTED)
    share = (read_run_core_seconds(metrics_url, model) - ran) / (seconds * usable_cores())
    return {**layers_of(spent, result), "outside_runs": 1 - share}


def layers_of(spent: dict[str, ModelStats], result: LoadResult) -> dict:
    """Split the mean latency that clients saw.

    HTTP is what Triton's clock for the ensemble does not cover: the client, the socket, parsing. Steps is
    what the ensemble's clock covers and its models' clocks do not.
    """
    latency = 1e3 * result.overall_mean_latency
    means = {part: _per_request(stats) for part, stats in spent.items()}
    inside = means["tokenizer"]["success"] + means["model"]["success"]
    model = spent["model"]
    return {
        "latency": latency,
        "http": max(0.0, latency - means["ensemble"]["success"]),
        "steps": max(0.0, means["ensemble"]["success"] - inside),
        "tokenizer": {part: means["tokenizer"][part] for part in PARTS},
        "model": {part: means["model"][part] for part in PARTS},
        "rows_per_run": model.rows / max(1, model.executions),
        "reviews_per_second": result.reviews_per_second,
        "tokens_per_second": result.tokens_per_second,
    }


def _per_request(stats: ModelStats) -> dict[str, float]:
    return {part: 1e3 * seconds / max(1, stats.requests) for part, seconds in stats.seconds.items()}
