"""From a text to a graph's outputs: tokenizer, session, rows. For checks, not for serving."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Tokenizer

from export.checkpoint.reading import Checkpoint
from export.errors import CheckpointError
from export.graph.packing import INPUT_IDS, ITEM_LENGTHS
from export.graph.windows import Windows

Row = Sequence[int] | NDArray[np.int64]


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The checkpoint's tokenizer, cutting texts where the graph does (see `windows`), never padding.

    Raises:
        CheckpointError: tokenizer.json is damaged.
    """
    try:
        tokenizer = Tokenizer.from_buffer(checkpoint.tokenizer_json)
    except Exception as error:  # `tokenizers` raises nothing more specific
        raise CheckpointError(
            f"{checkpoint.folder}: tokenizer.json cannot be read ({error}); save it again"
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(Windows(checkpoint.config.max_position_embeddings).max_tokens)
    return tokenizer


def open_session(model: ModelProto | str, threads: int = 0) -> InferenceSession:
    """A CPU session, without warnings, of a model or of the file at a path; threads: 0 for one a core."""
    options = SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    source = model if isinstance(model, str) else model.SerializeToString()
    return InferenceSession(source, options, providers=["CPUExecutionProvider"])


def row_inputs(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for rows of ids in one batch."""
    return {
        INPUT_IDS: np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]),
        ITEM_LENGTHS: np.array([len(row) for row in rows], dtype=np.int32),
    }


def run_rows(session: InferenceSession, rows: Sequence[Row], output: str = "logits") -> NDArray[np.float32]:
    """[rows, width] of one output, for rows of ids run in one batch."""
    return session.run([output], row_inputs(rows))[0]


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """A copy of `model` whose tensors `names` are outputs, too."""
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return copy
