"""The shell that Triton loads for every model with `backend: "onnxruntime"`.

It unpacks requests, calls plain functions and packs responses. What goes wrong is logged here in full; the
client gets a sentence without paths or stack traces.
"""

import json
import os
import threading
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from serving.onnxruntime_backend.asked import read_parameters
from serving.onnxruntime_backend.busy_flag import busy_flag
from serving.onnxruntime_backend.cores import usable_cores
from serving.onnxruntime_backend.limits import read_limits
from serving.onnxruntime_backend.memory import available_memory
from serving.onnxruntime_backend.merging import Outcome, RequestError, check_batch_inputs
from serving.onnxruntime_backend.request_queue import Cancelled, Unavailable
from serving.onnxruntime_backend.settings import ConfigError, parse_settings
from serving.onnxruntime_backend.tickets import Ticket

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
REPORTED_EVERY, DRAINED_WITHIN = 0.5, 60.0  # seconds
FAILED = "the model failed on this request; the server's log says why"
# Clients retry what is unavailable (HTTP 503, gRPC UNAVAILABLE).
CODES = {RequestError: "INVALID_ARG", Cancelled: "CANCELLED", Unavailable: "UNAVAILABLE"}


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
        # Imported here: auto-completion has a process of its own, which seldom needs ONNX Runtime.
        from serving.onnxruntime_backend.runner import Runner
        from serving.onnxruntime_backend.session import intra_op_threads, lanes, open_session, run_options
        from serving.onnxruntime_backend.signature import check_signature

        try:
            self.settings = parse_settings(json.loads(args["model_config"]))
            check_batch_inputs(self.settings.batch_inputs, self.settings.inputs)
            path = Path(args["model_repository"], args["model_version"], self.settings.filename)
            kind, device = args["model_instance_kind"], int(args["model_instance_device_id"])
            threads = intra_op_threads(self.settings, usable_cores())
            self.runner = Runner(
                self.settings,
                threads,
                partial(open_session, path, self.settings, kind, device),
                run_options(self.settings),
                cut=kind != "GPU",
                lanes=lanes(self.settings, threads, path, available_memory()),
                limits=read_limits(self.settings),
                busy_flag=busy_flag(args["model_name"], args["model_version"]),
            )
            check_signature(
                self.settings, self.runner.session.get_inputs(), self.runner.session.get_outputs()
            )
        except ConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self.tracing = None
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            from serving.onnxruntime_backend.tracing import Tracing

            self.tracing = Tracing("triton")
        self.ended = threading.Event()
        labels = {"model": args["model_name"], "version": args["model_version"]}
        self.reporter = threading.Thread(target=self._report, args=(labels,), daemon=True)
        self.reporter.start()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Put requests into the queue, and return at once; but run a request that is alone immediately.

        The return value answers requests that were refused or have run. Senders answer the rest later.
        """
        responses: list[Any] = [None] * len(requests)
        tickets = {}
        for number, request in enumerate(requests):
            try:
                reply = Reply(request)
                ticket = self._ticket(reply)
                if len(requests) == 1 and self.runner.run_alone(ticket):
                    return [reply.response]
                reply.send_later()
                tickets[number] = ticket
            except Exception as error:
                responses[number] = _response(error)
        refusals = self.runner.submit(list(tickets.values()))
        for number, refusal in zip(tickets, refusals, strict=True):
            if refusal:
                responses[number] = _response(refusal)
        return responses

    def _ticket(self, reply: "Reply") -> Ticket:
        request = reply.request
        inputs = {each.name(): each.as_numpy() for each in request.inputs()}
        asked = read_parameters(_parameters(request), request.timeout())
        return Ticket(
            inputs,
            self.runner.ticket_sizes(inputs),
            request.requested_output_names(),
            reply.answer,
            asked.background,
            asked.timeout,
            reply.is_cancelled,
            self.tracing.follow(request.trace().get_context()) if self.tracing else None,
        )

    def finalize(self) -> None:
        """Answer what waits, and stop."""
        self.runner.stop(DRAINED_WITHIN)
        self.ended.set()
        self.reporter.join()
        if self.tracing:
            self.tracing.close()

    def _report(self, labels: dict[str, str]) -> None:
        """Update the metrics, in a thread of their own: each change would delay `execute`."""
        from serving.onnxruntime_backend.metrics import Metrics

        try:
            metrics = Metrics(self.runner, labels)
        except pb_utils.TritonModelException:  # a server without metrics
            return
        while not self.ended.wait(REPORTED_EVERY):
            metrics.update()
        metrics.end()


class Reply:
    """How a request is answered: by the return value of `execute`, or later by a sender."""

    def __init__(self, request: Any) -> None:
        self.request, self.response, self._sender = request, None, None

    def send_later(self) -> None:
        """Answer after `execute` has returned. The request is dropped, as it would keep its shared memory."""
        self._sender, self.request = self.request.get_response_sender(), None

    def answer(self, outcome: Outcome) -> None:
        """Answer the request; called once."""
        if self._sender:
            self._sender.send(_response(outcome), FINAL)
        else:
            self.response = _response(outcome)

    def is_cancelled(self) -> bool:
        """Whether its client is gone, as Triton knows it."""
        return (self._sender or self.request).is_cancelled()


def _parameters(request: Any) -> str:
    try:
        return request.parameters()
    except UnicodeDecodeError:
        raise RequestError("the request's parameters are not valid UTF-8") from None


def _response(outcome: Outcome) -> Any:
    if not isinstance(outcome, Exception):
        try:
            return pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in outcome.items()])
        except Exception as error:  # without an answer the client would wait for ever
            outcome = error
    for kind, code in CODES.items():
        if isinstance(outcome, kind):
            refusal = pb_utils.TritonError(str(outcome), getattr(pb_utils.TritonError, code))
            return pb_utils.InferenceResponse(error=refusal)
    pb_utils.Logger.log_error("".join(traceback.format_exception(outcome)))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(FAILED, pb_utils.TritonError.INTERNAL))
