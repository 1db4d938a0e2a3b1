"""Open-loop load: requests at a fixed rate, whether or not the earlier ones have been answered."""

import asyncio
import gc
import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.load.callers import infer_body
from benchmarks.load.raw_http import Lost, Post, raw_http

TIMEOUT_S = 30.0
BUSY = re.compile(
    r"the server is busy: about [\d.]+ s of work wait, the limit is [\d.]+ s; try again in [\d.]+ s"
)
# Of a score: alone and beside others, a text's scores differ in the last bits of float32.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Expected:
    """A text, its tokens, and the label and score that it gets alone."""

    text: str
    tokens: int
    label: str
    score: float


@dataclass(frozen=True)
class Sent:
    """What became of a request. `kind`: right, wrong, refused or lost; times in seconds of perf_counter."""

    kind: str
    began: float
    ended: float
    tokens: int

    @property
    def latency(self) -> float:
        """In seconds."""
        return self.ended - self.began


def encoded(text: str) -> bytes:
    """The body of Triton's /infer for one text, asking for its label and score."""
    return json.dumps(infer_body([text], "label", "score")).encode()


def read_answer(body: bytes) -> tuple[str, float]:
    """Label and score of an answer of /infer."""
    outputs = {each["name"]: each["data"][0] for each in json.loads(body)["outputs"]}
    return outputs["label"], outputs["score"]


async def answers_alone(url: str, texts: Sequence[tuple[str, int]]) -> list[Expected]:
    """Ask for each text by itself, one after another. Raises BenchmarkError for one that is not answered."""
    found = []
    async with raw_http(url) as post:
        for text, tokens in texts:
            status, body = await post(encoded(text), TIMEOUT_S)
            if status != 200:
                raise BenchmarkError(f"a text alone was answered {status}: {body[:200]!r}")
            found.append(Expected(text, tokens, *read_answer(body)))
    return found


async def open_loop(url: str, texts: Sequence[Expected], rate: float, seconds: float) -> list[Sent]:
    """Send `rate` requests a second for so long, and wait for all answers."""
    bodies = [encoded(each.text) for each in texts]
    sending: list[asyncio.Task[Sent]] = []
    async with raw_http(url) as post:
        with _no_pauses():
            began = time.perf_counter()
            while (now := time.perf_counter() - began) < seconds:
                for number in range(len(sending), int(now * rate) + 1):
                    which = number % len(texts)
                    sending.append(asyncio.create_task(_send(post, bodies[which], texts[which])))
                await asyncio.sleep(1 / rate if rate < 1000 else 0.001)
            return await asyncio.gather(*sending)


@contextmanager
def _no_pauses() -> Iterator[None]:
    """Python's garbage collection stops everything for a tenth of a second when 100,000 answers are kept."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _send(post: Post, body: bytes, expected: Expected) -> Sent:
    began = time.perf_counter()
    try:
        kind = _kind(*await post(body, TIMEOUT_S), expected)
    except Lost:
        kind = "lost"
    return Sent(kind, began, time.perf_counter(), expected.tokens)


def _kind(status: int, answer: bytes, expected: Expected) -> str:
    if status == 503 and BUSY.search(answer.decode(errors="replace")):
        return "refused"
    if status != 200:
        return "lost"
    label, score = read_answer(answer)
    right = label == expected.label and math.isclose(score, expected.score, abs_tol=TOLERANCE)
    return "right" if right else "wrong"
