"""The ceiling: ONNX Runtime (and torch) called in this process, no server and no tokenizer around them."""

import time
from collections.abc import Callable, Sequence

from benchmarks.rivals.in_process import Runner, load_runners
from benchmarks.stage import Stage
from benchmarks.texts import token_ids

BATCH = 8


def measure_in_process(stage: Stage, cores: int) -> list[dict]:
    """Reviews through each runner, one by one and in batches of 8, in alternating rounds."""
    settings = stage.settings
    texts = token_ids(stage.checkpoint, stage.reviews[: settings.in_process_texts])
    runners = load_runners(stage.checkpoint, stage.repository, cores)
    for runner in runners.values():
        runner(texts[:1])
    cases = [
        (name, size) for _ in range(settings.in_process_rounds) for size in (1, BATCH) for name in runners
    ]
    return [_measure(runners[name], name, texts, size, stage.progress) for name, size in cases]


def _measure(
    runner: Runner, name: str, texts: Sequence[list[int]], size: int, progress: Callable[[str], None]
) -> dict:
    progress(f"in process: {name}, batches of {size}")
    began = time.perf_counter()
    for start in range(0, len(texts), size):
        runner(texts[start : start + size])
    seconds = time.perf_counter() - began
    tokens = sum(map(len, texts))
    return {"runner": name, "rows": size, "reviews": len(texts), "tokens": tokens, "seconds": seconds}
