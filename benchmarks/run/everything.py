"""The whole run: prepares both checkpoints, then measures section after section."""

import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import texts
from benchmarks.measure import machine
from benchmarks.measure.flops import Shape
from benchmarks.measure.peak import measure_peaks
from benchmarks.paths import CACHE
from benchmarks.perf_analyzer.fetch import fetch
from benchmarks.run.sections import Sections, part_of
from benchmarks.run.settings import Settings
from benchmarks.run.stage import Progress, Stage
from benchmarks.run.suite import (
    alone,
    idle,
    in_process,
    layers,
    load_curves,
    perf,
    rival_grid,
    scale,
    table,
    tuning,
)
from benchmarks.servers.arena import Arena, FlaskChoice, RivalChoice, open_arena
from benchmarks.servers.contestants import SENTIMENT_FAST
from benchmarks.servers.random_checkpoint import make_random_checkpoint
from benchmarks.servers.repository import prepare

DEEP_LAYERS = 24
DEEP, SHIPPED = "layers24", "shipped"
# In the order of a run.
SECTIONS = (
    "peak",
    "flask_grid",
    "rivals_grid",
    DEEP,
    *(f"{DEEP}.{part}" for part in ("in_process", "alone", "idle", "load", "table", "layers")),
    *(f"{DEEP}.{part}" for part in ("batch", "bulk", "perf_closed", "perf_open", "perf_lengths")),
    SHIPPED,
    *(f"{SHIPPED}.{part}" for part in ("in_process", "load", "table", "layers", "bulk")),
)
Flask = dict[str, FlaskChoice]
Rivals = dict[str, RivalChoice]


def run_everything(checkpoint: Path, settings: Settings, sections: Sections, progress: Progress) -> None:
    """Measure all sections, the 24-layer checkpoint first: the targets are read from it.

    A failure loses only its own rows or its own section (`Sections.failed`); the run goes on.

    Raises:
        BenchmarkError: there is nothing to measure: no perf_analyzer, no texts, a checkpoint that cannot be
            exported.
    """
    began, cores, store = time.time(), machine.usable_cores(), sections.store
    whole = not sections.only or not store.data["run"]  # a part leaves the whole run's facts alone
    if whole:
        store.describe_run(machine=machine.describe(), settings=settings.name, finished=False)
    fetch()
    sections.measure("peak", measure_peaks, cores, settings.peak_seconds)
    shipped = deep = _stage(checkpoint, settings, sections, progress)
    if wants_deep := _wants(sections, DEEP, "flask_grid"):
        deep = _stage(deep_checkpoint(checkpoint, progress), settings, sections, progress)
    flask = _flask_settings(deep, sections, cores)
    rivals = _rivals(shipped, sections, cores)
    if whole:
        store.describe_run(flask={key: choice.label for key, choice in flask.items()})
    if wants_deep:
        with sections.cost_only(f"{DEEP}.servers"):
            _measure_deep(deep, flask, rivals, sections, cores)
    if _wants(sections, SHIPPED):
        with sections.cost_only(f"{SHIPPED}.servers"):
            _measure_shipped(shipped, flask, rivals, sections, cores)
    if whole:
        store.describe_run(seconds=round(time.time() - began, 1), finished=True)


def _wants(sections: Sections, *beginnings: str) -> bool:
    """Whether any section is wanted whose name begins so."""
    return any(sections.wants(name) for name in SECTIONS if name.startswith(beginnings))


def check_sections(only: Collection[str]) -> None:
    """Raises BenchmarkError for a name that is neither a section nor the part after the dot of one."""
    known = {*SECTIONS, *(part_of(name) for name in SECTIONS)}
    if unknown := [name for name in only if name not in known]:
        raise BenchmarkError(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")


def deep_checkpoint(checkpoint: Path, progress: Progress) -> Path:
    """``checkpoint`` itself where it has 24 layers, else a random one of that depth."""
    if Shape.of_checkpoint(checkpoint).num_hidden_layers == DEEP_LAYERS:
        return checkpoint
    progress(f"making a random checkpoint of {DEEP_LAYERS} layers")
    return make_random_checkpoint(checkpoint, CACHE / f"random-{DEEP_LAYERS}-layers", DEEP_LAYERS)


def _stage(checkpoint: Path, settings: Settings, sections: Sections, progress: Progress) -> Stage:
    progress(f"exporting {checkpoint.name}")
    repository, read = prepare(checkpoint), texts.read_texts(checkpoint, settings.texts)
    return Stage(checkpoint, repository, read, settings, progress, sections.failures)


def _flask_settings(stage: Stage, sections: Sections, cores: int) -> Flask:
    rows = (
        sections.measure("flask_grid", tuning.measure_grid, stage, cores)
        if stage.settings.tune_flask
        else None
    )
    return tuning.choose(rows, cores) if rows else tuning.default_choices(cores)


def _rivals(stage: Stage, sections: Sections, cores: int) -> Rivals:
    if not stage.settings.rivals:
        return {}
    if not stage.settings.tune_flask:
        return rival_grid.default_rivals(cores)
    rows = sections.measure("rivals_grid", rival_grid.measure_rival_grid, stage, cores)
    return rival_grid.choose_rivals(rows or [])


def _measure_deep(stage: Stage, flask: Flask, rivals: Rivals, sections: Sections, cores: int) -> None:
    settings, measure = stage.settings, sections.measure
    measure(DEEP, _facts, stage)
    measure(f"{DEEP}.in_process", in_process.measure_in_process, stage, cores)
    measure(f"{DEEP}.alone", alone.measure_alone, stage, flask, cores)
    with open_arena(stage.checkpoint, stage.repository, flask, rivals) as arena:
        measure(f"{DEEP}.idle", idle.measure_idle, arena)
        loads = measure(f"{DEEP}.load", load_curves.measure_load, stage, arena, settings.rounds)
        measure(f"{DEEP}.table", table.measure_table, stage, arena)
        measure(f"{DEEP}.layers", layers.measure_layers, stage, arena)
        measure(f"{DEEP}.batch", scale.measure_batch_sizes, stage, arena)
        measure(f"{DEEP}.bulk", scale.measure_bulk, stage, arena, settings.bulk_sizes_deep)
        _measure_with_perf_analyzer(stage, arena, sections, loads or [])


def _measure_with_perf_analyzer(stage: Stage, arena: Arena, sections: Sections, loads: list[dict]) -> None:
    settings = stage.settings
    fast = [row["reviews_per_second"] for row in loads if row["contestant"] == SENTIMENT_FAST]
    cases = {
        "perf_closed": perf.closed_loop_cases(settings.perf_concurrency),
        "perf_open": perf.open_loop_cases(max(fast, default=1.0), settings.perf_load_shares),
        "perf_lengths": perf.length_cases(settings.length_concurrency),
    }
    for name, chosen in cases.items():
        sections.measure(f"{DEEP}.{name}", perf.measure_cases, stage, arena, chosen)


def _measure_shipped(stage: Stage, flask: Flask, rivals: Rivals, sections: Sections, cores: int) -> None:
    settings, measure = stage.settings, sections.measure
    measure(SHIPPED, _facts, stage)
    measure(f"{SHIPPED}.in_process", in_process.measure_in_process, stage, cores)
    with open_arena(stage.checkpoint, stage.repository, flask, rivals) as arena:
        measure(f"{SHIPPED}.load", load_curves.measure_load, stage, arena, settings.shipped_rounds)
        measure(f"{SHIPPED}.table", table.measure_table, stage, arena)
        measure(f"{SHIPPED}.layers", layers.measure_layers, stage, arena)
        measure(f"{SHIPPED}.bulk", scale.measure_bulk, stage, arena, settings.bulk_sizes)


def _facts(stage: Stage) -> dict:
    """What the report needs to turn samples into cost: sizes of the model, lengths of the texts."""
    return {
        "shape": vars(Shape.of_checkpoint(stage.checkpoint)),
        "mean_tokens": {length: stage.texts.mean_tokens(length) for length in texts.LENGTHS},
        "imdb_tokens": [review.tokens for review in stage.reviews],
        "source": stage.texts.source,
        "random_weights": stage.checkpoint.name.startswith("random"),
    }
