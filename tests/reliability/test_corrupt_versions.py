"""A version that was published in pieces: the old one goes on serving, and the server stays ready."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from serving.launcher import TritonServer
from serving.service import Service
from tests.reliability.conftest import PORTS, Health, Log, Supervised, assert_sound, more_answers, traffic_to
from tests.waiting import until


@pytest.fixture(scope="module", params=["poll", "explicit"])
def supervised(
    request: pytest.FixtureRequest, published_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supervised]:
    repository = shutil.copytree(published_repository, tmp_path_factory.mktemp(request.param) / "models")
    log = Log()
    settings = {"model_control_mode": request.param, "poll_seconds": 1}
    server = TritonServer(repository, log=log, **settings, **PORTS)
    with Service([server], log) as service:
        yield Supervised(server, service, log)


def truncated_onnx(repository: Path) -> str:
    """Half of a model."""
    old, new = (repository / "mobilebert_fp32" / version for version in ("1", "2"))
    whole = (old / "model.onnx").read_bytes()
    new.mkdir()
    (new / "model.onnx").write_bytes(whole[: len(whole) // 2])
    return "mobilebert_fp32"


def missing_tokenizer(repository: Path) -> str:
    """A tokenizer without its vocabulary."""
    new = shutil.copytree(
        repository / "mobilebert_tokenizer" / "1", repository / "mobilebert_tokenizer" / "2"
    )
    (new / "tokenizer.json").unlink()
    return "mobilebert_tokenizer"


@pytest.mark.parametrize("corrupt", [truncated_onnx, missing_tokenizer])
def test_the_old_version_goes_on_serving(supervised: Supervised, corrupt: Callable[[Path], str]) -> None:
    server = supervised.server
    with traffic_to(server, threads=1) as traffic, Health(server.http_url) as health:
        more_answers(traffic, 20)
        model = corrupt(server.options.model_repository)
        if server.options.model_control_mode == "explicit":
            load(server, model)
        until(lambda: supervised.log.times(f"failed to load '{model}' version 2"))
        more_answers(traffic, 20)
    assert_sound(traffic)
    assert supervised.restarts == 0
    assert {status for *_, status in health.samples} == {200}  # a balancer leaves it in service


def load(server: TritonServer, model: str) -> None:
    """As a publisher does; it is told what is wrong."""
    key = {"triton-grpc-protocol-admin-key": server.options.admin_key}
    refusal = pytest.raises(InferenceServerException, match=f"load failed for model '{model}'")
    with grpcclient.InferenceServerClient(server.grpc_url) as client, refusal:
        client.load_model(model, headers=key, client_timeout=120)
