"""The shell that Triton loads for every model with `backend: "onnxruntime"`.

It unpacks requests, calls plain functions and packs responses. What goes wrong is logged here in full; the
client gets a sentence without paths or stack traces.
"""

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from serving.onnxruntime_backend.batching import RequestError, check_batch_inputs, gather, scatter
from serving.onnxruntime_backend.settings import ConfigError, parse_settings

FAILED = "the model failed on this request; the server's log says why"


class TritonPythonModel:
    """One instance of one model: its own process, its own session."""

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
        from serving.onnxruntime_backend.session import open_session, run_options
        from serving.onnxruntime_backend.signature import check_signature

        try:
            self.settings = parse_settings(json.loads(args["model_config"]))
            path = Path(args["model_repository"], args["model_version"], self.settings.filename)
            kind, device = args["model_instance_kind"], int(args["model_instance_device_id"])
            check_batch_inputs(self.settings.batch_inputs, self.settings.inputs)
            self.session = open_session(path, self.settings, kind, device)
            check_signature(self.settings, self.session.get_inputs(), self.session.get_outputs())
            self.run_options = run_options(self.settings)
        except ConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self.output_names = [tensor.name for tensor in self.settings.outputs]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request: one model run for all, or one each if that run fails."""
        asked = {name for request in requests for name in request.requested_output_names()}
        names = [name for name in self.output_names if name in asked]
        try:
            return self._run(requests, names)
        except Exception:
            if len(requests) == 1:
                return [_failure()]
            pb_utils.Logger.log_info(
                f"{self.settings.name}: a batch of {len(requests)} failed, trying one by one"
            )
            return [self._execute_alone(request, names) for request in requests]

    def _execute_alone(self, request: Any, names: list[str]) -> Any:
        """The batch failed: find out whether this request is the one to blame."""
        try:
            return self._run([request], names)[0]
        except Exception:
            return _failure()

    def _run(self, requests: list[Any], names: list[str]) -> list[Any]:
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        feeds = gather(inputs, self.settings)
        values = self.session.run(names, feeds, self.run_options)
        shares = scatter(dict(zip(names, values, strict=True)), inputs, self.settings)
        return [_response(share) for share in shares]


def _response(outputs: Mapping[str, np.ndarray]) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])


def _failure() -> Any:
    """Called while an exception is handled."""
    error = sys.exc_info()[1]
    if isinstance(error, RequestError):
        return pb_utils.InferenceResponse(
            error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
        )
    pb_utils.Logger.log_error(traceback.format_exc())
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(FAILED, pb_utils.TritonError.INTERNAL))
