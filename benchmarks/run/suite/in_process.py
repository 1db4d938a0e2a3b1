"""The ceiling: ONNX Runtime (and torch) called in this process, no server and no tokenizer around them."""

import time
from collections.abc import Callable, Sequence

from benchmarks.load.texts import token_ids
from benchmarks.rivals.in_process import Runner, open_runners, open_side_by_side
from benchmarks.run.stage import Stage

BATCH = 8


def measure_in_process(stage: Stage, cores: int) -> list[dict]:
    """Reviews through each runner, one by one and in batches of 8, in alternating rounds.

    Runners that spread texts over the cores get all texts at once; each of their runs has one row.
    """
    settings = stage.settings
    texts = token_ids(stage.checkpoint, stage.reviews[: settings.in_process_texts])
    runners = open_runners(stage.checkpoint, stage.repository, cores)
    spread = open_side_by_side(stage.repository, cores)
    for runner in (runners | spread).values():
        runner(texts[:1])
    cases = [(name, rows, rows) for rows in (1, BATCH) for name in runners]
    cases += [(name, 1, len(texts)) for name in spread]
    return [
        {"rows": rows, **_measure((runners | spread)[name], name, texts, given, stage.progress)}
        for _ in range(settings.in_process_rounds)
        for name, rows, given in cases
    ]


def _measure(
    runner: Runner, name: str, texts: Sequence[list[int]], size: int, progress: Callable[[str], None]
) -> dict:
    progress(f"in process: {name}, {size} texts a call")
    began = time.perf_counter()
    for start in range(0, len(texts), size):
        runner(texts[start : start + size])
    seconds = time.perf_counter() - began
    tokens = sum(map(len, texts))
    return {"runner": name, "reviews": len(texts), "tokens": tokens, "seconds": seconds}
