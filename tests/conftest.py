"""Fixtures that cost seconds, made once per run: a random checkpoint, its model repository, a live server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from serving.launcher import TritonServer
from tests.synthetic import write_checkpoint

# Servers of several tests run side by side: none of them takes the gateway's default port.
os.environ.setdefault("GATEWAY", "off")


# Who needs one of these waits for an export or a server.
SERVED = {
    "published_repository",
    "bench_repository",
    "repository",
    "gateway",
    "cluster",
    "supervised",
    "backend",
    "truth",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out beside the slow tests."""
    for item in items:
        if SERVED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("served")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MobileBERT of two layers and two labels, of the real widths."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def published_repository(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with `mobilebert_tokenizer`, `mobilebert_fp32` and `sentiment` of the tiny
    checkpoint."""
    return publish_fp32(tiny_checkpoint, tmp_path_factory.mktemp("model_repository") / "models")


@pytest.fixture(scope="session")
def server(published_repository: Path) -> Iterator[TritonServer]:
    """A live Triton server on free ports of 127.0.0.1.

    Shared: leave it as you found it.
    """
    settings = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(published_repository, **settings) as live:
        yield live


def publish_fp32(checkpoint: Path, repository: Path) -> Path:
    """Export the checkpoint's fp32 model into a copy of the tracked repository."""
    loaded = load_checkpoint(checkpoint)
    repository.mkdir(parents=True)
    publish(loaded, repository, {"mobilebert_fp32": build_fp32(loaded)})
    return repository
