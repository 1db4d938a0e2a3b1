"""Clients that keep asking while something happens to the servers, and check every answer."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import requests
import tritonclient.grpc as triton_grpc

from clients import SentimentClient

TEXTS = [
    "A delight.",
    "Dull, badly acted and far too long.",
    "I laughed twice. " * 12,
    "Well, it was a film.",
]
TIMEOUT = 60.0
Ask = Callable[[str], float]


@dataclass
class Report:
    """What the clients of one kind met. `answers`: each text's scores, and how often they came."""

    failures: list[str] = field(default_factory=list)
    answers: dict[tuple[str, float], int] = field(default_factory=dict)
    last: float = 0.0

    @property
    def answered(self) -> int:
        return sum(self.answers.values())

    def wrong(self, *right: Mapping[str, float]) -> list[tuple[str, float]]:
        """Answers that none of these servers would give to that text alone."""
        return [
            (text, score)
            for text, score in self.answers
            if not any(abs(score - scores[text]) < 1e-5 for scores in right)
        ]


@contextmanager
def load(http_port: int, grpc_port: int, clients: int = 2) -> Iterator[dict[str, Report]]:
    """So many clients of each kind (raw HTTP, raw gRPC, the SDK) until the block ends.

    The raw ones do not retry. The SDK's are given `TIMEOUT` seconds for that.
    """
    reports = {"http": Report(), "grpc": Report(), "sdk": Report()}
    over = threading.Event()
    asks: dict[str, Callable[[], Ask]] = {
        "http": lambda: raw_http(http_port),
        "grpc": lambda: raw_grpc(grpc_port),
        "sdk": lambda: sdk(http_port),
    }
    threads = [
        threading.Thread(target=_keep_asking, args=(asks[kind](), report, over, number))
        for kind, report in reports.items()
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield reports
    finally:
        over.set()
        for thread in threads:
            thread.join(TIMEOUT + 30)
    assert not any(thread.is_alive() for thread in threads), "a request was never answered"


def _keep_asking(ask: Ask, report: Report, over: threading.Event, first: int) -> None:
    number = first
    while not over.is_set():
        text = TEXTS[number % len(TEXTS)]
        number += 1
        try:
            answer = (text, round(ask(text), 6))
            report.answers[answer] = report.answers.get(answer, 0) + 1
            report.last = time.monotonic()
        except Exception as error:
            report.failures.append(repr(error)[:300])
        time.sleep(0.02)  # the servers share the machine with the test


def raw_http(port: int) -> Ask:
    """/generate over one keep-alive connection, as a requests user calls it."""
    session = requests.Session()

    def ask(text: str) -> float:
        url = f"http://127.0.0.1:{port}/v2/models/sentiment/generate"
        answer = session.post(url, json={"text": text}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()["score"]

    return ask


def raw_grpc(port: int) -> Ask:
    """tritonclient over one connection."""
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{port}")

    def ask(text: str) -> float:
        tensor = triton_grpc.InferInput("text", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()]], np.object_))
        return float(client.infer("sentiment", [tensor], client_timeout=TIMEOUT).as_numpy("score").item())

    return ask


def sdk(port: int) -> Ask:
    """This repository's client, which retries."""
    client = SentimentClient(f"127.0.0.1:{port}")
    return lambda text: client.classify_one(text).score
