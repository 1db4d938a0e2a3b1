"""What is done to the server meanwhile: processes die or are stopped, models are loaded anew."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import tritonclient.grpc as grpcclient

from serving.errors import ServingError
from serving.launcher import TritonServer
from serving.stubs import stubs_of

Fault = Callable[[TritonServer], None]
RELOAD_SECONDS = 120.0


def kill_server(server: TritonServer) -> None:
    """SIGKILL to tritonserver itself."""
    os.kill(server.pid, signal.SIGKILL)


def signal_stub(server: TritonServer, model: str, number: signal.Signals) -> None:
    """A signal to the process of a model. Raises ServingError where it has none."""
    pids = [pid for pid, stub in stubs_of(server.pid).items() if stub.model == model]
    if not pids:
        raise ServingError(f"{model} has no process")
    os.kill(pids[0], number)


def reload(server: TritonServer, model: str) -> None:
    """Load a model again, as after a change of its file; the server must be in control mode explicit."""
    for path in Path(server.options.model_repository, model).glob("*/model.*"):
        path.touch()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        key = {"triton-grpc-protocol-admin-key": server.options.admin_key}
        client.load_model(model, headers=key, client_timeout=RELOAD_SECONDS)


def all_faults(models: list[str], generator: random.Random) -> dict[str, Fault]:
    """Each by its name, for these models that have processes of their own."""
    return {
        "SIGKILL of the tokenizer's process": lambda server: signal_stub(
            server, "mobilebert_tokenizer", signal.SIGKILL
        ),
        "reload of a model": lambda server: reload(server, generator.choice(models)),
        "SIGKILL of a model's process": lambda server: signal_stub(
            server, generator.choice(models), signal.SIGKILL
        ),
        "reload of the tokenizer": lambda server: reload(server, "mobilebert_tokenizer"),
        "SIGKILL of tritonserver": kill_server,
        "SIGSTOP of a model's process": lambda server: signal_stub(
            server, generator.choice(models), signal.SIGSTOP
        ),
    }
