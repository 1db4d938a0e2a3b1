"""The model repository that the benchmarks serve: ours as published, the padded rival beside it."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import durable
from benchmarks.errors import BenchmarkError
from benchmarks.paths import CACHE, ROOT, SERVER_PYTHON
from benchmarks.rivals.padded_models import add_padded_models

_SOURCES = (
    "export/**/*.py",
    "export/**/*.pbtxt",
    "model_repository/*/*.py",
    "benchmarks/rivals/padded*",
    "benchmarks/servers/repository.py",
)
# 32 clients in a closed loop are no overload. On a slow machine they wait for longer than the default's 2 s.
LONGEST_WAIT_S = 60
_READY = "ready"


def prepare(checkpoint: Path) -> Path:
    """Publish ``checkpoint`` and its padded rival; reused while nothing that they are made of changes.

    All as they are published, but for the bound of the queue (`LONGEST_WAIT_S`).

    Raises:
        BenchmarkError: the exporter refused the checkpoint; its last line is in the message.
    """
    repository = CACHE / "repositories" / _fingerprint(checkpoint)
    if not (repository / _READY).is_file():
        shutil.rmtree(repository, ignore_errors=True)
        publish_ours(checkpoint, repository)
        add_padded_models(checkpoint, repository)
        for name in ("mobilebert_fp32", "mobilebert_int8", "padded_fp32"):
            let_wait(repository / name / "config.pbtxt")
        (repository / _READY).touch()
    return repository


def publish_ours(checkpoint: Path, repository: Path) -> None:
    """Run the exporter, in the server's environment, into a repository of its own."""
    repository.mkdir(parents=True)
    command = [str(SERVER_PYTHON), "-m", "export", "publish", "--checkpoint", str(checkpoint.resolve())]
    command += ["--repository", str(repository)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
        raise BenchmarkError(f"the export of {checkpoint} failed: {lines[-1]}")


def let_wait(path: Path) -> None:
    """Raise the bound of a model's queue, in its config.pbtxt, to `LONGEST_WAIT_S`."""
    config = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    config.parameters["max_queue_seconds"].string_value = str(LONGEST_WAIT_S)
    durable.write_text(path, text_format.MessageToString(config))


def _fingerprint(checkpoint: Path) -> str:
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(path for path in ROOT.glob(pattern) if path.is_file()):
            digest.update(path.read_bytes())
    for path in sorted(checkpoint.glob("*.*")):
        if path.suffix in (".safetensors", ".json", ".jsonl"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
