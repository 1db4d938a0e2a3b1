"""Find the Flask app's best setting on this machine, so that the comparison is fair."""

from dataclasses import asdict

from benchmarks.load.callers import flask_caller
from benchmarks.load.closed_loop import closed_loop
from benchmarks.rivals.flask_server import FlaskServer, FlaskSettings, recommended
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import FlaskChoice
from benchmarks.servers.contestants import FLASK_BEST, FLASK_BFLOAT16, FLASK_LATENCY, FLASK_RECOMMENDED

CLIENTS = 16
HALF = "bfloat16"


def candidates(cores: int) -> list[FlaskSettings]:
    """The recommended setting, and several ways to share the cores: workers, threads, torch's threads."""
    # One row at a time is the batch endpoints' best on a CPU: padding costs more than batching gains.
    ways = [(1, 1, cores), (cores, 1, 1), (1, cores, 1), (2 * cores, 1, 1)]
    return [recommended(cores), *(FlaskSettings(*way, fast_dtype=HALF, batch_size=1) for way in ways)]


def default_choices(cores: int) -> dict[str, FlaskChoice]:
    """What usually wins, for runs too short to search."""
    _, one_worker, worker_a_core, *_ = candidates(cores)
    return {
        FLASK_RECOMMENDED: FlaskChoice(recommended(cores)),
        FLASK_BEST: FlaskChoice(worker_a_core),
        FLASK_LATENCY: FlaskChoice(one_worker),
        FLASK_BFLOAT16: FlaskChoice(worker_a_core, fast=True),
    }


def measure_grid(stage: Stage, cores: int) -> list[dict]:
    """Latency at one client and throughput at 16, of every candidate and both precisions of its endpoints."""
    rows = []
    for settings in candidates(cores):
        stage.progress(f"Flask app, {settings.label}")
        with (
            stage.failures.cost_only(f"Flask app, {settings.label}"),
            FlaskServer(stage.checkpoint, settings) as server,
        ):
            rows += [_measure(stage, server, FlaskChoice(settings, fast)) for fast in (False, True)]
    return rows


def _measure(stage: Stage, server: FlaskServer, choice: FlaskChoice) -> dict:
    caller = flask_caller(server.url, "fast_single" if choice.fast else "single")
    reviews, window = stage.reviews, stage.settings.window
    for review in reviews[: choice.settings.workers]:
        caller([review.text])
    alone = closed_loop(caller, reviews, 1, window)
    # float16 takes seconds a text on most CPUs: one client is enough to show it.
    slow = choice.fast and choice.settings.fast_dtype != HALF
    crowd = alone if slow else closed_loop(caller, reviews, CLIENTS, window)
    figures = {"p50_ms": alone.latency_ms(50), "reviews_per_second": crowd.reviews_per_second}
    return {"settings": asdict(choice.settings), "fast": choice.fast, "label": choice.label, **figures}


def choose(rows: list[dict], cores: int) -> dict[str, FlaskChoice]:
    """The recommended setting; the winners by throughput and latency; the best one if bfloat16 were used.

    Where nothing was measured, what usually wins.
    """
    changed = [row for row in rows if row["fast"] and row["settings"]["fast_dtype"] == HALF]
    described = [row for row in rows if row not in changed]
    chosen = default_choices(cores)
    if described:
        chosen[FLASK_BEST] = _choice_of(max(described, key=_throughput))
        chosen[FLASK_LATENCY] = _choice_of(min(described, key=lambda row: row["p50_ms"]))
    if changed:
        chosen[FLASK_BFLOAT16] = _choice_of(max(changed, key=_throughput))
    return chosen


def _throughput(row: dict) -> float:
    return row["reviews_per_second"]


def _choice_of(row: dict) -> FlaskChoice:
    return FlaskChoice(FlaskSettings(**row["settings"]), row["fast"])
