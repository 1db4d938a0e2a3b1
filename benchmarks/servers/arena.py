"""All contestants of one checkpoint, up at the same time; only the one that is measured is under load."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.callers import Caller, flask_caller, padded_caller, triton_caller
from benchmarks.measure.failures import Failures
from benchmarks.rivals.chosen import RIVALS, Rival, Setting, rival_folder
from benchmarks.rivals.flask_server import FlaskServer, FlaskSettings
from benchmarks.servers import contestants as names
from benchmarks.servers.contestants import Contestant
from serving.launcher import TritonServer


@dataclass(frozen=True)
class FlaskChoice:
    """A setting of the Flask app and which precision of its endpoints to call."""

    settings: FlaskSettings
    fast: bool = False

    @property
    def label(self) -> str:
        """Such as ``2 workers x 1 threads, torch 1, bfloat16``."""
        return f"{self.settings.label}, {self.settings.fast_dtype if self.fast else 'float32'}"


@dataclass(frozen=True)
class Arena:
    """The live contestants by key, and the Triton server that some of them share."""

    checkpoint: Path
    contestants: dict[str, Contestant]
    triton: TritonServer
    # Who did not start, and why.
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RivalChoice:
    """A rival of `rivals.chosen` and its setting."""

    rival: str
    setting: Setting

    def server(self, checkpoint: Path, repository: Path) -> Rival:
        """Not started yet. Raises BenchmarkError where its environment cannot be built."""
        graph = repository / "padded_fp32" / "1" / "model.onnx"
        # Beside the repository: Triton takes every folder inside for a model.
        folder = rival_folder(checkpoint, graph, repository.with_name(f"{repository.name}-rivals"))
        return RIVALS[self.rival](folder, self.setting)


@contextmanager
def open_arena(
    checkpoint: Path,
    repository: Path,
    flask: dict[str, FlaskChoice],
    rivals: dict[str, RivalChoice] | None = None,
) -> Iterator[Arena]:
    """Start one Triton with ours and the padded rival, one gunicorn a distinct Flask setting, and the rivals.

    Raises:
        ServingError: Triton did not start. A rival that does not is in `Arena.failed`.
    """
    with ExitStack() as stack:
        triton = stack.enter_context(quiet_triton(repository))
        arena = Arena(checkpoint, triton_contestants(triton, checkpoint), triton)
        failures, servers = Failures(), dict[FlaskSettings, FlaskServer]()
        for key, choice in flask.items():
            with failures.cost_only(key):
                if choice.settings not in servers:
                    server = FlaskServer(checkpoint, choice.settings)
                    servers[choice.settings] = stack.enter_context(server)
                arena.contestants[key] = flask_contestant(key, servers[choice.settings], choice.fast)
        for key, chosen in (rivals or {}).items():
            with failures.cost_only(key):
                rival = stack.enter_context(chosen.server(checkpoint, repository))
                arena.contestants[key] = Contestant(key, rival.caller, rival.caller, rival.url, rival.pid)
        arena.failed.update(failures.take())
        yield arena


def quiet_triton(repository: Path, models: tuple[str, ...] = ()) -> TritonServer:
    """A server on free ports that logs nothing to the terminal."""
    return TritonServer(
        repository,
        log=lambda line: None,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        load_models=models,
        exit_timeout=3,
    )


def triton_contestants(triton: TritonServer, checkpoint: Path) -> dict[str, Contestant]:
    """Every contestant that this server has loaded."""
    loaded = set(triton.options.load_models) or set(names.TRITON_MODELS)
    return {key: triton_contestant(triton, key, checkpoint) for key in names.TRITON_MODELS if key in loaded}


def triton_contestant(triton: TritonServer, key: str, checkpoint: Path) -> Contestant:
    """One ensemble of a live Triton."""
    caller: Caller
    if key in names.OURS:
        caller = triton_caller(triton.http_url, key)
    else:
        caller = padded_caller(triton.http_url, key, labels_of(checkpoint))
    return Contestant(key, caller, caller, triton.http_url, triton.pid)


def flask_contestant(key: str, server: FlaskServer, fast: bool) -> Contestant:
    """One precision of a live Flask app."""
    prefix = "fast_" if fast else ""
    single, batch = (flask_caller(server.url, f"{prefix}{name}") for name in ("single", "batch"))
    return Contestant(key, single, batch, server.url, server.pid)


def labels_of(checkpoint: Path) -> list[str]:
    """The checkpoint's label names by number."""
    id2label = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("id2label", {})
    named = {int(number): name for number, name in id2label.items()} or {0: "LABEL_0", 1: "LABEL_1"}
    return [named[number] for number in sorted(named)]
