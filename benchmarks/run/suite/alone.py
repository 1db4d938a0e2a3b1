"""Contestants alone on the machine: start-up to the first answer, memory, and throughput by cores."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.load.closed_loop import closed_loop
from benchmarks.measure.processes import memory_mib, on_cores
from benchmarks.rivals.flask_server import FlaskServer
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import (
    FlaskChoice,
    flask_contestant,
    quiet_triton,
    triton_contestant,
)
from benchmarks.servers.contestants import FLASK_BEST, OURS, PADDED, TRITON_MODELS, Contestant
from serving.launcher import TritonServer

CLIENTS = 4


def measure_alone(stage: Stage, flask: dict[str, FlaskChoice], cores: int) -> list[dict]:
    """Every contestant on all cores, then ours, the padded rival and Flask's best on one."""
    everybody = [*flask, PADDED, *OURS]
    few = [FLASK_BEST, PADDED, *OURS] if cores > 1 and stage.settings.one_core else []
    cases = [(cores, key) for key in everybody] + [(1, key) for key in few]
    rows = []
    for count, key in cases:
        with stage.failures.cost_only(key, f"alone on {count} cores"):
            rows.append(_measure(stage, key, flask.get(key), count))
    return rows


def _measure(stage: Stage, key: str, choice: FlaskChoice | None, cores: int) -> dict:
    stage.progress(f"{key} alone on {cores} cores")
    began = time.perf_counter()
    with ExitStack() as stack:
        with on_cores(cores):
            contestant = stack.enter_context(_server(stage, key, choice))
        contestant.single([stage.reviews[0].text])
        started = time.perf_counter() - began
        fresh = memory_mib(contestant.pid)
        result = closed_loop(contestant.single, stage.reviews, CLIENTS, stage.settings.window)
        return {
            "contestant": key,
            "cores": cores,
            "seconds_to_first_answer": started,
            "memory_mib_first_answer": fresh,
            "memory_mib_after_load": memory_mib(contestant.pid),
            **result.to_json(),
        }


@contextmanager
def _server(stage: Stage, key: str, choice: FlaskChoice | None) -> Iterator[Contestant]:
    if choice is not None:
        with FlaskServer(stage.checkpoint, choice.settings) as server:
            yield flask_contestant(key, server, choice.fast)
        return
    triton: TritonServer = quiet_triton(stage.repository, TRITON_MODELS[key])
    with triton:
        yield triton_contestant(triton, key, stage.checkpoint)
