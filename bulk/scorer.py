"""Texts in, arrays out: the model of this repository in this process, as every engine uses it.

A list is tokenized at once, then cut into runs by token budget, with rows of similar length together, as the
server does (`serving.onnxruntime_backend.plan`). Each run is one call of ONNX Runtime.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from bulk.model import Model, check_file
from bulk.scores import Scores, blank
from bulk.texts import BadText, as_text, longer_than
from export.checkpoint.problem_types import scores_output
from model_repository.mobilebert_tokenizer.tokenization import Row, encode, load_limits, load_tokenizer
from serving.onnxruntime_backend.merging import gather
from serving.onnxruntime_backend.plan import plan_runs
from serving.onnxruntime_backend.session import open_session


class Scorer:
    """One ONNX Runtime session and a tokenizer. threads: of a run. Only one thread may call it at a time.

    Raises BulkError where the model's file is not the one that `model` was found with.
    """

    def __init__(self, model: Model, threads: int = 1) -> None:
        check_file(model)
        self.model = model
        self._settings = model.settings()
        self._session: ort.InferenceSession = open_session(model.path, self._settings, threads=threads)
        self._tokenizer = load_tokenizer(model.tokenizer / "tokenizer.json")
        self._limits = load_limits(model.tokenizer, model.limits())
        labels = ["labels"] if model.answer.several else []
        self._outputs = ["label", "score", scores_output(model.answer.problem_type), *labels]

    def __call__(self, texts: Sequence[object]) -> Scores:
        """The answers to str or UTF-8 bytes; anything else gets an error in its place."""
        scores = blank(len(texts), self.model.answer.width, self.model.answer.several)
        good: dict[int, str] = {}
        for place, value in enumerate(texts):
            text = self._checked(value)
            if isinstance(text, BadText):
                scores.error[place] = text.reason
            else:
                good[place] = text
        rows = encode(list(good.values()), self._tokenizer, self._limits)
        places = np.array(list(good), np.intp)
        for run in plan_runs([len(row.ids) for row in rows], 1).runs:
            if run:
                self._run([rows[each] for each in run], places[list(run)], scores)
        return scores

    def _checked(self, value: object) -> str | BadText:
        text = as_text(value)
        most = self._limits.max_text_bytes
        if isinstance(text, str) and (size := longer_than(text, most)) is not None:
            return BadText(f"the text has {size} bytes, more than the limit of {most}")
        return text

    def _run(self, rows: Sequence[Row], places: np.ndarray, scores: Scores) -> None:
        requests = [{"input_ids": np.array([row.ids], np.int64)} for row in rows]
        label, score, values, *labels = self._session.run(self._outputs, gather(requests, self._settings))
        scores.label[places] = label[:, 0]
        scores.score[places] = score[:, 0]
        scores.probabilities[places] = values
        scores.num_tokens[places] = [len(row.ids) for row in rows]
        scores.truncated[places] = [row.truncated for row in rows]
        if scores.labels is not None:
            for place, names in zip(places, labels[0], strict=True):
                scores.labels[place] = [name for name in names if name]
