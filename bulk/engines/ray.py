"""`--engine ray`: Ray Data spreads tasks over an actor pool, on this machine or a cluster.

Only places of units and reports are sent, no rows: an actor reads its units, scores them and writes their
parts. So the object store holds almost nothing, and the driver is no bottleneck. Ray runs the task of a lost
actor or node again; units that are done by then are skipped.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bulk.engines.local import one_thread
from bulk.errors import BulkError
from bulk.job import Job, Report, finished
from bulk.model import Model
from bulk.plan import Task
from bulk.run import score_tasks
from bulk.scorer import Scorer
from serving.onnxruntime_backend.cores import usable_cores

# The least that Ray accepts; reports are small.
STORE_BYTES = 80 << 20
SHARED = Path("/dev/shm")
# A task that runs and one that waits. More would keep work at a busy actor while another is free.
TASKS_AN_ACTOR = 2
Watch = Callable[[int, int], None]


def score_on_ray(
    job: Job, model: Model, tasks: Sequence[Task], address: str | None, workers: int, watch: Watch
) -> Iterator[Report]:
    """Reports as units are done; `watch` gets their rows and tokens.

    Raises BulkError where Ray is missing or unreachable, and when a worker can't go on.
    """
    ray = _connect(address, workers)
    try:
        pool = ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=workers
            or (None if address else usable_cores()),  # None: as many as the cluster grows to
            max_tasks_in_flight_per_actor=TASKS_AN_ACTOR,
        )
        split = tuple(_split(tasks))
        items = [{"task": number} for number in range(len(split))]
        scored = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            UnitScorer,
            fn_constructor_args=(job, model, split),
            batch_size=1,
            compute=pool,
            num_cpus=1,
        )
        for batch in scored.iter_batches(batch_size=None):
            for line in batch["report"]:
                yield from _heard(json.loads(line), watch)
    except ray.exceptions.RayError as error:
        raise BulkError(f"Ray gave up: {_reason(error)}; what is done is kept") from None
    finally:
        ray.shutdown()


def _split(tasks: Sequence[Task]) -> Iterator[Task]:
    """A task for each unit. A compressed file stays one task: it is read from its beginning."""
    for task in tasks:
        if task.source.compression:
            yield task
        else:
            yield from (replace(task, units=(unit,)) for unit in task.units)


class UnitScorer:
    """An actor: one core, one session. It knows all tasks; batches name them by number."""

    def __init__(self, job: Job, model: Model, tasks: Sequence[Task]) -> None:
        one_thread()
        self._job, self._scorer, self._tasks = job, Scorer(model), tasks

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores tasks; a line of JSON for each says what became of their units."""
        return {"report": np.array([self._line(self._tasks[number]) for number in batch["task"]], object)}

    def _line(self, task: Task) -> str:
        done = [report for unit in task.units if (report := finished(self._job, task.source, unit))]
        numbers = {report.number for report in done}
        left = replace(task, units=tuple(unit for unit in task.units if unit.number not in numbers))
        try:
            if left.units:
                done += score_tasks(self._job, [left], lambda texts: map(self._scorer, texts), lambda _: None)
        except BulkError as error:
            return json.dumps({"stop": str(error)})
        return json.dumps({"reports": [asdict(report) for report in done]})


def _heard(line: dict[str, object], watch: Watch) -> Iterator[Report]:
    if "stop" in line:
        raise BulkError(str(line["stop"]))
    for kept in line["reports"]:  # type: ignore[attr-defined]
        report = Report(**kept)
        watch(report.rows, report.tokens)
        yield report


def _connect(address: str | None, workers: int):  # type: ignore[no-untyped-def]
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise BulkError(
            "--engine ray needs Ray: `make bulk` installs it, or pip install 'ray[data]'"
        ) from None
    quiet = {"logging_level": "error", "log_to_driver": False}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            # "local" starts a cluster of its own, whatever runs on this machine or RAY_ADDRESS names.
            cores = workers or usable_cores()
            ray.init("local", num_cpus=cores, include_dashboard=False, **_small_store(), **quiet)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise BulkError(f"Ray can't be reached or started: {_reason(error)}") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.verbose_progress = False
    return ray


def _small_store() -> dict[str, object]:
    """A store of the least size, in /tmp where /dev/shm has less room, as in many containers."""
    shared = shutil.disk_usage(SHARED).free if SHARED.is_dir() else 0
    if shared > STORE_BYTES:
        return {"object_store_memory": STORE_BYTES}
    os.environ["RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"] = "1"
    return {"object_store_memory": STORE_BYTES, "_plasma_directory": "/tmp"}


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:300]
