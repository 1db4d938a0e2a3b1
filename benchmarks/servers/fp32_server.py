"""A server of one checkpoint's fp32 model and nothing else, for measurements of the server itself."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.paths import CACHE
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from serving.launcher import TritonServer

MODEL = "mobilebert_fp32"


def with_layers(checkpoint: Path, layers: int) -> Path:
    """The checkpoint itself for 0 layers, else one like it of that many layers with random weights."""
    from benchmarks.servers.random_checkpoint import make_random_checkpoint

    return make_random_checkpoint(checkpoint, CACHE / f"random-{layers}", layers) if layers else checkpoint


@contextmanager
def fp32_server(checkpoint: Path) -> Iterator[TritonServer]:
    """A live server on free ports, its repository published for the occasion and removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_checkpoint(checkpoint)
        publish(loaded, Path(folder), {MODEL: build_fp32(loaded)})
        with TritonServer(folder, http_port=0, grpc_port=0, metrics_port=0) as server:
            yield server


def model_file(server: TritonServer) -> Path:
    """The ONNX file that it serves."""
    return server.options.model_repository / MODEL / "1" / "model.onnx"
