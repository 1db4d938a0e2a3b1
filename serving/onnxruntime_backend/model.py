"""The shell that Triton loads for every model with `backend: "onnxruntime"`.

It unpacks requests, calls plain functions and packs responses. What goes wrong is logged here in full; the
client gets a sentence without paths or stack traces.
"""

import json
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from serving.onnxruntime_backend.batching import Answer, Outcome, Request, RequestError, check_batch_inputs
from serving.onnxruntime_backend.cores import usable_cores
from serving.onnxruntime_backend.settings import ConfigError, parse_settings

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
COUNTED_EVERY = 0.5  # seconds
FAILED = "the model failed on this request; the server's log says why"


class TritonPythonModel:
    """One instance of one model, in a process of its own."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Complete a configuration without inputs or outputs; leave a complete one alone."""
        config = auto_complete_model_config.as_dict()
        if config.get("input") and config.get("output"):
            return auto_complete_model_config
        from serving.onnxruntime_backend.completion import complete

        return complete(auto_complete_model_config, config)

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model. Raises with a one-line message that Triton shows in its log."""
        # Here, because auto-completion runs in a process of its own, which has no use for ONNX Runtime.
        from serving.onnxruntime_backend.runner import Runner
        from serving.onnxruntime_backend.session import intra_op_threads, open_session, run_options
        from serving.onnxruntime_backend.signature import check_signature

        try:
            self.settings = parse_settings(json.loads(args["model_config"]))
            check_batch_inputs(self.settings.batch_inputs, self.settings.inputs)
            path = Path(args["model_repository"], args["model_version"], self.settings.filename)
            kind, device = args["model_instance_kind"], int(args["model_instance_device_id"])
            load = partial(open_session, path, self.settings, kind, device)
            threads = intra_op_threads(self.settings, usable_cores())
            self.runner = Runner(self.settings, threads, load, run_options(self.settings), cut=kind != "GPU")
            check_signature(
                self.settings, self.runner.session.get_inputs(), self.runner.session.get_outputs()
            )
        except ConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self.output_names = [tensor.name for tensor in self.settings.outputs]
        self.ended = threading.Event()
        self.counter = threading.Thread(target=self._count_runs, args=(args,), daemon=True)
        self.counter.start()

    def execute(self, requests: list[Any]) -> list[None]:
        """Every request is answered through its sender, some of them after this has returned."""
        senders = [request.get_response_sender() for request in requests]

        def answer(number: int, outcome: Outcome) -> None:
            senders[number].send(_response(outcome), FINAL)

        asked = {name for request in requests for name in request.requested_output_names()}
        names = [name for name in self.output_names if name in asked]
        self.runner.run(_unpack(requests, answer), names, answer)
        return [None] * len(requests)

    def finalize(self) -> None:
        """Stop counting; Triton has waited for the last answers."""
        self.ended.set()
        self.counter.join()

    def _count_runs(self, args: Mapping[str, str]) -> None:
        """Keep a metric of the runs' time; not in `execute`, which each change would delay."""
        try:
            family = pb_utils.MetricFamily(
                name="onnxruntime_run_core_us",
                description="Time of ONNX Runtime's runs times the threads of each, in microseconds",
                kind=pb_utils.MetricFamily.COUNTER,
            )
        except pb_utils.TritonModelException:  # a server without metrics
            return
        metric = family.Metric(labels={"model": args["model_name"], "version": args["model_version"]})
        while not self.ended.wait(COUNTED_EVERY):
            metric.increment(1e6 * self.runner.load.take_core_seconds())


def _unpack(requests: Sequence[Any], answer: Answer) -> list[tuple[int, Request]]:
    """Numbered inputs of the requests; one whose inputs cannot be read is answered with the error."""
    batch: list[tuple[int, Request]] = []
    for number, request in enumerate(requests):
        try:
            batch.append((number, {each.name(): each.as_numpy() for each in request.inputs()}))
        except Exception as error:
            answer(number, error)
    return batch


def _response(answer: Outcome) -> Any:
    if not isinstance(answer, Exception):
        try:
            return pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in answer.items()])
        except Exception as error:  # without an answer the client would wait for ever
            answer = error
    if isinstance(answer, RequestError):
        return pb_utils.InferenceResponse(
            error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        )
    pb_utils.Logger.log_error("".join(traceback.format_exception(answer)))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(FAILED, pb_utils.TritonError.INTERNAL))
