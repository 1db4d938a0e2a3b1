"""Triton's shell around busy_flags.py, intake.py and tokenization.py: unpacks requests, packs responses."""

import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from busy_flags import BusyFlags, ids_output
from intake import Busy, Intake
from tokenization import TextError, TextLimits, Tokens, load_limits, load_tokenizer, tokenize

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
DRAINED_WITHIN = 60.0  # seconds
BESIDE = ("num_tokens", "truncated", "num_windows")  # outputs beside the ids
FAILED = "the tokenizer failed on this request; the server's log says why"
# Few and small requests (bytes of text) are answered at once: to hand them to the thread costs time. More of
# them in one call mean that requests come faster than they are answered.
FEW, SMALL = 8, 32 << 10
# A call that refused for a busy model waits for so long (seconds). What comes meanwhile comes as one call:
# under overload, processes that change places for each refusal take a twentieth of the machine.
GATHER_S = 0.003


@dataclass(frozen=True)
class Job:
    """What is asked for; it may outlive the call that brought it, so its texts are copies."""

    texts: np.ndarray
    limits: TextLimits | TextError
    nbytes: int
    ids: str  # the output that gets the ids
    background: bool  # perhaps; the model has another queue for it


class TritonPythonModel:
    """`text` [rows, 1] to `input_ids` [rows, longest row] and `num_tokens`, `truncated`, `num_windows`, each
    [rows, 1]. An ensemble asks for the ids as `input_ids_for_<model>`, and is refused while that is busy.

    A request's own parameters `max_tokens` and `truncation` go before the configuration's.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read tokenizer.json and windows.json from the version folder, the limits from the configuration."""
        parameters = {
            key: each["string_value"] for key, each in json.loads(args["model_config"])["parameters"].items()
        }
        folder = Path(__file__).parent
        self.limits = load_limits(folder, parameters)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        waiting = (int(parameters[f"max_queue_{what}"]) for what in ("requests", "bytes"))
        self.intake = Intake(self._serve, *waiting)
        self.busy_flags = BusyFlags(args["model_version"])

    def execute(self, requests: list) -> list:
        """Answer requests, or let them in the line and answer them from its thread.

        What is refused, or fails, costs only itself.
        """
        responses: list = [None] * len(requests)
        jobs = {}
        for number, request in enumerate(requests):
            try:
                ids, parameters = ids_output(request.requested_output_names()), _parameters(request)
                background = '"background"' in (parameters or "")
                if busy := self._busy(ids, background):
                    responses[number] = busy
                else:
                    texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
                    size = sum(map(len, texts.ravel()))
                    jobs[number] = Job(texts, self._limits_of(parameters), size, ids, background)
            except Exception:
                responses[number] = _failure()
        if len(requests) <= FEW and sum(job.nbytes for job in jobs.values()) <= SMALL:
            for number, response in zip(jobs, self._responses(list(jobs.values())), strict=True):
                responses[number] = response
        else:
            for number, job in jobs.items():
                responses[number] = self._take(job, requests[number].get_response_sender())
        if len(jobs) < len(requests):
            time.sleep(GATHER_S)
        return responses

    def _busy(self, ids: str, background: bool) -> object | None:
        """The refusal of a request whose model is busy."""
        message = "" if background else self.busy_flags.refusal(ids)
        return _refusal(message, pb_utils.TritonError.UNAVAILABLE) if message else None

    def _limits_of(self, parameters: str | None) -> TextLimits | TextError:
        if parameters is None:
            return TextError("the request's parameters are not valid UTF-8")
        try:
            return self.limits.of_request(json.loads(parameters or "{}"))
        except TextError as error:
            return error

    def _take(self, job: Job, sender: object) -> object | None:
        try:
            self.intake.offer((job, sender), job.nbytes)
        except Busy as refusal:
            return _refusal(str(refusal), pb_utils.TritonError.UNAVAILABLE)
        return None

    def _serve(self, waited: Sequence[tuple[Job, object]]) -> None:
        # A model may have become busy since its text came in.
        refusals = [self._busy(job.ids, job.background) for job, _ in waited]
        left = [job for (job, _), refusal in zip(waited, refusals, strict=True) if not refusal]
        answers = iter(self._responses(left))
        for (_, sender), refusal in zip(waited, refusals, strict=True):
            try:
                sender.send(refusal or next(answers), FINAL)
            except Exception:
                pb_utils.Logger.log_error(traceback.format_exc())

    def _responses(self, jobs: Sequence[Job]) -> list:
        try:
            answers = tokenize([job.texts for job in jobs], self.tokenizer, [job.limits for job in jobs])
            return [_response(answer, job.ids) for answer, job in zip(answers, jobs, strict=True)]
        except Exception:
            if len(jobs) > 1:
                return [response for job in jobs for response in self._responses([job])]
            return [_failure()]

    def finalize(self) -> None:
        """Answer what waits, and stop."""
        self.intake.stop(DRAINED_WITHIN)


def _parameters(request: object) -> str | None:
    """JSON, or nothing; None for what is not valid UTF-8."""
    try:
        return request.parameters()
    except UnicodeDecodeError:
        return None


def _response(answer: Tokens | TextError, ids: str) -> object:
    if isinstance(answer, TextError):
        return _refusal(str(answer), pb_utils.TritonError.INVALID_ARG)
    beside = [pb_utils.Tensor(name, getattr(answer, name)) for name in BESIDE]
    return pb_utils.InferenceResponse([pb_utils.Tensor(ids, answer.input_ids), *beside])


def _refusal(message: str, code: int) -> object:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _failure() -> object:
    """For the exception that is being handled."""
    pb_utils.Logger.log_error(traceback.format_exc())
    return _refusal(FAILED, pb_utils.TritonError.INTERNAL)
