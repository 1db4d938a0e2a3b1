"""The shell that Triton loads for every model with `backend: "onnxruntime"`.

It unpacks requests, calls plain functions and packs responses. What goes wrong is logged here in full; the
client gets a sentence without paths or stack traces.
"""

import json
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from serving.onnxruntime_backend.batching import Answer, Outputs, Request, RequestError, check_batch_inputs
from serving.onnxruntime_backend.cores import usable_cores
from serving.onnxruntime_backend.settings import ConfigError, parse_settings

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
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

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request: as soon as it is there, and those of the last run in the return value."""
        asked = {name for request in requests for name in request.requested_output_names()}
        names = [name for name in self.output_names if name in asked]
        batch, finished = _unpack(requests)
        for done in self.runner.answers(batch, names):
            for number, answer in finished:
                requests[number].get_response_sender().send(_response(answer), FINAL)
            finished = done
        responses: list[Any] = [None] * len(requests)
        for number, answer in finished:
            responses[number] = _response(answer)
        return responses


def _unpack(requests: Sequence[Any]) -> tuple[list[tuple[int, Request]], list[Answer]]:
    """Numbered inputs of the requests, and the errors of those whose inputs cannot be read."""
    batch: list[tuple[int, Request]] = []
    refused: list[Answer] = []
    for number, request in enumerate(requests):
        try:
            batch.append((number, {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}))
        except Exception as error:
            refused.append((number, error))
    return batch, refused


def _response(answer: Outputs | Exception) -> Any:
    if not isinstance(answer, Exception):
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in answer.items()])
    if isinstance(answer, RequestError):
        return pb_utils.InferenceResponse(
            error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        )
    pb_utils.Logger.log_error("".join(traceback.format_exception(answer)))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(FAILED, pb_utils.TritonError.INTERNAL))
