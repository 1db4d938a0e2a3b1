"""Finds models that hang: asks each for a tiny answer every few seconds, and waits for it.

Overload must not look like a hang. A late answer or a refusal shows that a model works. A model that gives no
answer in time counts as hung if its process does nothing meanwhile, or if this happens many times in a row.
The questions go over gRPC, because Triton's HTTP threads stand still while a client has a model loaded. They
count only while the server itself answers.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from serving.pump import Sink, show
from serving.stubs import Stub, cpu_seconds

ASK_SECONDS = 5.0
LIVE_SECONDS = 2.0
IDLE_SHARE = 0.01  # of a core: a process that uses less does nothing; a stub's heartbeat uses a tenth of it
MOST_SILENCES = 6
DEAD = ("is not healthy", "health mutex")  # Triton's own verdict about a stub


class Watchdog:
    """One thread that asks the models of these stubs in turn, from `start` to `stop`.

    hang_seconds: how long an answer may take. An idle process that hangs is found within ASK_SECONDS +
    hang_seconds, if no other model's answer is late.
    """

    def __init__(
        self, grpc_url: str, hang_seconds: float, stubs: Callable[[], Iterable[Stub]], log: Sink
    ) -> None:
        self.verdict = ""
        self._url, self._hang_seconds, self._stubs, self._log = grpc_url, hang_seconds, stubs, log
        self._inputs: dict[tuple[str, str], list[grpcclient.InferInput]] = {}
        self._silences: Counter[Stub] = Counter()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Ask no more; the answer to a question under way is ignored."""
        self._ended.set()

    def _run(self) -> None:
        with grpcclient.InferenceServerClient(self._url) as client:
            while not self._ended.wait(ASK_SECONDS):
                for stub in list(self._stubs()):
                    if stub.model and not self._ended.is_set():
                        self.verdict = self.verdict or self._ask(client, stub)

    def _ask(self, client: grpcclient.InferenceServerClient, stub: Stub) -> str:
        """Why the model is taken for hung, empty while it is not."""
        try:
            if not client.is_server_live(client_timeout=LIVE_SECONDS):
                return ""
            inputs = self._question(client, stub)
        except InferenceServerException:  # the server has other troubles, or the model is being unloaded
            return ""
        before = cpu_seconds(stub.pid)
        try:
            client.infer(stub.model, inputs, stub.version, client_timeout=self._hang_seconds)
        except InferenceServerException as error:
            if any(sign in str(error) for sign in DEAD):
                return f"lost {stub}"
            if error.status() == "StatusCode.DEADLINE_EXCEEDED":
                return self._weigh(stub, cpu_seconds(stub.pid) - before)
        self._silences[stub] = 0
        return ""

    def _weigh(self, stub: Stub, worked: float) -> str:
        self._silences[stub] += 1
        silence = f"no answer within {self._hang_seconds:g} s"
        if worked < IDLE_SHARE * self._hang_seconds:
            return f"has {stub} hanging: {silence}, and it does nothing"
        if self._silences[stub] >= MOST_SILENCES:
            return f"has {stub} hanging: {silence}, {MOST_SILENCES} times in a row"
        show(f"{stub} works but gave {silence} ({self._silences[stub]} of {MOST_SILENCES})", self._log)
        return ""

    def _question(self, client: grpcclient.InferenceServerClient, stub: Stub) -> list[grpcclient.InferInput]:
        key = (stub.model, stub.version)
        if key not in self._inputs:
            answer: Any = client.get_model_config(*key, client_timeout=LIVE_SECONDS)
            self._inputs[key] = smallest_request(answer.config)
        return self._inputs[key]


def smallest_request(config: model_config_pb2.ModelConfig) -> list[grpcclient.InferInput]:
    """Every input, with one element wherever its length is free: zeros, or the empty text."""
    batch = [1] if config.max_batch_size else []
    inputs = []
    for tensor in config.input:
        name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
        kind = triton_to_np_dtype("BYTES" if name == "STRING" else name)
        shape = [*batch, *(max(1, size) for size in tensor.dims)]
        values = np.full(shape, b"", kind) if kind is np.object_ else np.zeros(shape, kind)
        inputs.append(grpcclient.InferInput(tensor.name, shape, np_to_triton_dtype(values.dtype)))
        inputs[-1].set_data_from_numpy(values)
    return inputs
