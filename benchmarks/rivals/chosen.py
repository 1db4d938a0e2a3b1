"""Servers that people choose instead, each with a checkpoint, its own environment and a few settings."""

import os
import shutil
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3

from benchmarks.load.callers import BentoCaller, Caller, FlaskCaller, HttpCaller, InfinityCaller
from benchmarks.rivals.child_server import ChildServer
from benchmarks.rivals.environments import environment

MODEL = "sentiment"
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Setting:
    """Workers, threads of each (0: the library's default), texts of a run at most."""

    workers: int = 1
    threads: int = 0
    batch: int = 1

    @property
    def label(self) -> str:
        """For tables."""
        return f"{self.workers} workers x {self.threads or 'default'} threads, batch {self.batch}"


def rival_folder(checkpoint: Path, onnx: Path, folder: Path) -> Path:
    """The checkpoint as these servers load it: torch's weights, and the padded graph beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy(checkpoint / name, folder)
    shutil.copy(onnx, folder / "model.onnx")
    return folder


class Rival(ChildServer):
    """One server with one setting. ``folder`` is a `rival_folder`."""

    environment: str
    # What its documentation starts with.
    documented: Setting
    path: str

    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__()
        self.folder, self.setting, self.name = folder.resolve(), setting, type(self).__name__.lower()
        self.bin = environment(self.environment)

    @classmethod
    def candidates(cls, cores: int) -> list[Setting]:
        """The documented setting first, then ways to share the cores."""
        return [cls.documented, Setting(cores, 1, 1), Setting(1, cores, 1)]

    @property
    @abstractmethod
    def caller(self) -> Caller:
        """Classifies by its protocol; one request a call."""

    def _environment(self) -> Mapping[str, str]:
        setting = self.setting
        own = {"CHECKPOINT": str(self.folder), "PORT": str(self.port), "WORKERS": str(setting.workers)}
        own |= {"THREADS": str(setting.threads), "BATCH": str(setting.batch), "HF_HUB_OFFLINE": "1"}
        own |= {
            "HF_HOME": str(self.folder),
            "DO_NOT_TRACK": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "PATH": f"{self.bin}:{os.environ['PATH']}",
        }
        threads = {"OMP_NUM_THREADS": str(setting.threads)} if setting.threads else {}
        return {**os.environ, **own, **threads}

    def _all_ready(self) -> bool:
        try:
            response = urllib3.request("GET", f"{self.url}{self.path}", timeout=1, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == 200


class LitServe(Rival):
    """LitServe; batches of 8 are its documentation's example."""

    environment, path, documented = "litserve", "/health", Setting(batch=8)

    @property
    def caller(self) -> Caller:
        return FlaskCaller(HttpCaller(f"{self.url}/predict"), batch=False)

    def _command(self) -> list[str]:
        return [str(self.bin / "python"), str(Path(__file__).with_name("litserve_app.py"))]


class BentoML(Rival):
    """BentoML; adaptive batching of up to 100 texts is its default."""

    environment, path, documented = "bentoml", "/readyz", Setting(batch=100)

    @property
    def caller(self) -> Caller:
        return BentoCaller(HttpCaller(f"{self.url}/predict"))

    def _command(self) -> list[str]:
        home = str(Path(__file__).parent)
        serve = [
            "serve",
            "bentoml_app:Classifier",
            "--working-dir",
            home,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        return [str(self.bin / "bentoml"), *serve]


class Infinity(Rival):
    """infinity-emb; one process, batches of up to 32 texts by default.

    The model is the working directory: its ONNX engine does not find a graph by an absolute path.
    """

    environment, path, documented, engine = "infinity", "/health", Setting(batch=32), "torch"

    @classmethod
    def candidates(cls, cores: int) -> list[Setting]:
        return [cls.documented, Setting(1, cores, 1), Setting(1, cores, 4)]

    @property
    def caller(self) -> Caller:
        return InfinityCaller(HttpCaller(f"{self.url}/classify"), MODEL)

    def _command(self) -> list[str]:
        model = ["--model-id", ".", "--served-model-name", MODEL, "--engine", self.engine]
        size = ["--batch-size", str(self.setting.batch), "--device", "cpu"]
        listen = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        # Its own warmup sends texts of more than 512 tokens, which its ONNX engine does not cut.
        without = ["--no-bettertransformer", "--no-model-warmup"]
        return [str(self.bin / "infinity_emb"), "v2", *model, *size, *listen, *without]


class InfinityOptimum(Infinity):
    """The same with ONNX Runtime, which it optimizes the padded graph for."""

    engine = "optimum"


RIVALS: dict[str, type[Rival]] = {
    "infinity": Infinity,
    "infinity_optimum": InfinityOptimum,
    "litserve": LitServe,
    "bentoml": BentoML,
}
