"""The tokenizer of the padded rival: Rust `tokenizers`, padded to the longest text of one execute."""

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

POSITIONS = 512


class TritonPythonModel:
    """Text in; input_ids and attention_mask INT64 [rows, longest] out."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load tokenizer.json from the version folder."""
        folder = Path(args["model_repository"]) / args["model_version"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(POSITIONS)
        self._tokenizer.enable_padding()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Encode all requests at once, so that they leave with one shape and the next step can batch them."""
        rows = [pb_utils.get_input_tensor_by_name(request, "text").as_numpy().ravel() for request in requests]
        encodings = self._tokenizer.encode_batch([text.decode() for row in rows for text in row])
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        ends = np.cumsum([len(row) for row in rows])[:-1]
        return [_response(*pair) for pair in zip(np.split(ids, ends), np.split(mask, ends), strict=True)]


def _response(ids: Any, mask: Any) -> Any:
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor("input_ids", ids), pb_utils.Tensor("attention_mask", mask)]
    )
