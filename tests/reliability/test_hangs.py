"""A model whose process lives but whose code never comes back, and one that is merely slow."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from serving.launcher import TritonServer
from serving.service import Service
from serving.stubs import stubs_of
from serving.watchdog import ASK_SECONDS
from tests.reliability.conftest import PORTS, Log, Supervised
from tests.waiting import until

HANG_SECONDS = 2.0
CONFIG = """
backend: "python"
input [{ name: "seconds" data_type: TYPE_FP32 dims: [ 1 ] }]
output [{ name: "done" data_type: TYPE_FP32 dims: [ 1 ] }]
instance_group [{ kind: KIND_CPU }]
"""
# Positive seconds are spent at work, negative ones asleep.
MODEL = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        seconds = pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()
        end = time.monotonic() + abs(float(seconds[0]))
        while time.monotonic() < end:
            if seconds[0] < 0:
                time.sleep(0.1)
        return pb_utils.InferenceResponse([pb_utils.Tensor("done", seconds)])
"""


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    folder = tmp_path_factory.mktemp("slow") / "models" / "slow"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(MODEL)
    log = Log()
    server = TritonServer(folder.parent, log=log, hang_timeout=HANG_SECONDS, **PORTS)
    with Service([server], log) as service:
        yield Supervised(server, service, log)


def ask(server: TritonServer, seconds: float) -> str:
    """`done`, or the error."""
    tensor = grpcclient.InferInput("seconds", [1], "FP32")
    tensor.set_data_from_numpy(np.array([seconds], np.float32))
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        try:
            client.infer("slow", [tensor], client_timeout=120)
        except InferenceServerException as error:
            return str(error)
    return "done"


def test_a_model_that_works_longer_than_the_limit_is_left_alone(supervised: Supervised) -> None:
    assert ask(supervised.server, ASK_SECONDS + 4 * HANG_SECONDS) == "done"
    assert supervised.restarts == 0
    assert supervised.log.times("works but gave no answer within 2 s")


def test_a_model_that_sleeps_for_ever_is_found_and_restarted(supervised: Supervised) -> None:
    (old,) = stubs_of(supervised.server.pid)
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(ask(supervised.server, -3600)))
    client.start()
    until(lambda: supervised.log.times("hanging: no answer within 2 s, and it does nothing"))
    until(lambda: supervised.log.times("is ready again after"))
    client.join(timeout=60)
    assert "UNAVAILABLE" in answers[0]  # the connection broke: clients retry that
    assert ask(supervised.server, 0) == "done"
    assert old not in stubs_of(supervised.server.pid)
