"""Triton's shell around tokenization.py: unpacks requests, calls it once for the batch, packs responses."""

import json
import traceback
from pathlib import Path

import triton_python_backend_utils as pb_utils
from tokenization import Limits, TextError, Tokens, load_limits, load_tokenizer, tokenize


class TritonPythonModel:
    """`text` [rows, 1] to `input_ids` [rows, longest row] and `num_tokens`, `truncated`, `num_windows`, each
    [rows, 1].

    A request's own parameters `max_tokens` and `truncation` go before the configuration's.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read tokenizer.json and windows.json from the version folder, the limits from the configuration."""
        parameters = json.loads(args["model_config"])["parameters"]
        folder = Path(__file__).parent
        self.limits = load_limits(folder, {key: each["string_value"] for key, each in parameters.items()})
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")

    def execute(self, requests: list) -> list:
        """One response per request; a request that is refused, or that fails, costs only itself."""
        try:
            return self._answer(requests)
        except Exception:
            if len(requests) > 1:
                return [response for request in requests for response in self.execute([request])]
            pb_utils.Logger.log_error(traceback.format_exc())
            failure = pb_utils.TritonError("the tokenizer failed on this request; the server's log says why")
            return [pb_utils.InferenceResponse(error=failure)]

    def _answer(self, requests: list) -> list:
        texts = [pb_utils.get_input_tensor_by_name(request, "text").as_numpy() for request in requests]
        limits = [self._limits_of(request) for request in requests]
        return [_response(answer) for answer in tokenize(texts, self.tokenizer, limits)]

    def _limits_of(self, request: object) -> Limits | TextError:
        try:
            return self.limits.of_request(json.loads(request.parameters() or "{}"))
        except TextError as error:
            return error


def _response(answer: Tokens | TextError) -> object:
    if isinstance(answer, TextError):
        error = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    names = ("input_ids", "num_tokens", "truncated", "num_windows")
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, getattr(answer, name)) for name in names])
