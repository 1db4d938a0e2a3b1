"""Models called in this process on token ids: nothing but the computation."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import onnxruntime

from export.graph.running import run_rows

Runner = Callable[[Sequence[list[int]]], np.ndarray]


def open_runners(checkpoint: Path, repository: Path, cores: int) -> dict[str, Runner]:
    """A runner for each model, all on ``cores`` threads: token ids to logits FLOAT [texts, labels]."""
    return {
        "torch fp32": torch_runner(checkpoint, cores),
        "padded fp32": padded_runner(_session(repository / "padded_fp32", cores)),
        "packed fp32": packed_runner(_session(repository / "mobilebert_fp32", cores)),
        "packed int8": packed_runner(_session(repository / "mobilebert_int8", cores)),
    }


def open_side_by_side(repository: Path, cores: int) -> dict[str, Runner]:
    """Our graphs with a text on each core, longest first: what a server at its best could reach."""
    models = {"packed fp32": "mobilebert_fp32", "packed int8": "mobilebert_int8"}
    return {
        f"{name}, a text a core": on_each_core(
            [packed_runner(_session(repository / model, 1)) for _ in range(cores)]
        )
        for name, model in models.items()
    }


def on_each_core(runners: Sequence[Runner]) -> Runner:
    """A runner that gives each text to the next free one of ``runners``, each on a thread of its own."""
    pool, idle = ThreadPoolExecutor(len(runners)), SimpleQueue[Runner]()
    for each in runners:
        idle.put(each)

    def run_one(text: list[int]) -> np.ndarray:
        runner = idle.get()
        try:
            return runner([text])
        finally:
            idle.put(runner)

    def run(texts: Sequence[list[int]]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        answers = dict(zip(order, pool.map(lambda number: run_one(texts[number]), order), strict=True))
        return np.concatenate([answers[number] for number in range(len(texts))])

    return run


def packed_runner(session: onnxruntime.InferenceSession) -> Runner:
    """Our graph: all texts in one row, their lengths beside them."""
    return partial(run_rows, session)


def padded_runner(session: onnxruntime.InferenceSession) -> Runner:
    """The plain export: texts padded to the longest, with a mask."""

    def run(texts: Sequence[list[int]]) -> np.ndarray:
        ids, mask = pad(texts)
        return session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]

    return run


def torch_runner(checkpoint: Path, cores: int) -> Runner:
    """transformers' model, padded where there is more than one text."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(cores)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()

    def run(texts: Sequence[list[int]]) -> np.ndarray:
        ids, mask = (torch.from_numpy(array) for array in pad(texts))
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask).logits.numpy()

    return run


def pad(texts: Sequence[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, INT64 [texts, longest]."""
    ids = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def _session(model: Path, cores: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    versions = [folder for folder in model.iterdir() if folder.name.isdigit()]
    newest = max(versions, key=lambda folder: int(folder.name))
    return onnxruntime.InferenceSession(newest / "model.onnx", options, providers=["CPUExecutionProvider"])
