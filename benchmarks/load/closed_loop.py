"""Closed-loop load: N clients, each sends its next text as soon as it has an answer."""

import functools
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

from benchmarks.errors import BenchmarkError
from benchmarks.load.callers import Caller
from benchmarks.load.texts import Review
from benchmarks.measure.summary import percentile

# A window has at least so many answers, unless it has lasted so long.
FEWEST, LONGEST_S = 4, 120.0


@dataclass(frozen=True)
class LoadResult:
    """What one window of load showed; raw samples, so that a report can be made anew."""

    concurrency: int
    seconds: float
    latencies: list[float] = field(repr=False)
    tokens: int
    # Over every request, ramp and drain included: what a server's own statistics of the same load cover.
    overall_mean_latency: float

    @property
    def reviews_per_second(self) -> float:
        """Reviews answered in the window, by its length."""
        return len(self.latencies) / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Real tokens (specials included, padding not) by the window's length."""
        return self.tokens / self.seconds

    def latency_ms(self, percent: float) -> float:
        """A percentile of the latency in milliseconds."""
        return 1e3 * percentile(self.latencies, percent)

    def to_json(self) -> dict:
        """Raw samples and the two headline figures."""
        rounded = [round(latency, 6) for latency in self.latencies]
        return asdict(self) | {"latencies": rounded, "reviews_per_second": self.reviews_per_second}

    @classmethod
    def from_json(cls, data: dict) -> "LoadResult":
        """What `to_json` wrote."""
        return cls(**{each.name: data[each.name] for each in fields(cls)})


@dataclass
class _Recorder:
    """State that the clients share: the next text, the finished requests, the first failure."""

    reviews: Sequence[Review]
    lock: threading.Lock = field(default_factory=threading.Lock)
    finished: list[tuple[float, float, int]] = field(default_factory=list)
    failure: BaseException | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.indices = itertools.count()

    def client(self, caller: Caller) -> None:
        while not self.stop.is_set():
            review = self.reviews[next(self.indices) % len(self.reviews)]
            begin = time.perf_counter()
            try:
                caller([review.text])
            except Exception as error:
                self.failure = error
                self.stop.set()
                return
            with self.lock:
                self.finished.append((begin, time.perf_counter(), review.tokens))


def closed_loop(caller: Caller, reviews: Sequence[Review], concurrency: int, seconds: float) -> LoadResult:
    """Load ``caller`` with ``concurrency`` clients and measure a steady window of about ``seconds``.

    The first ``concurrency`` answers belong to the ramp and are dropped. The window is stretched
    until there are two answers a client, because short windows would hide queues. After three times its
    length, FEWEST answers are enough.

    Raises:
        BenchmarkError: a request failed; a failed run has no figures.
    """
    recorder = _Recorder(reviews)
    run = functools.partial(recorder.client, caller)
    clients = [threading.Thread(target=run, daemon=True) for _ in range(concurrency)]
    for client in clients:
        client.start()
    ended = _watch(recorder, concurrency, seconds)
    recorder.stop.set()
    for client in clients:
        client.join()
    if recorder.failure is not None:
        raise BenchmarkError(f"a request failed under load: {recorder.failure}")
    return _steady_window(recorder.finished, concurrency, ended)


def _watch(recorder: _Recorder, concurrency: int, seconds: float) -> float:
    """Wait until the window is over; return when that was (perf_counter)."""
    while len(recorder.finished) < concurrency and not recorder.stop.is_set():
        time.sleep(0.002)
    began = time.perf_counter()
    while not recorder.stop.is_set():
        lasted, answered = time.perf_counter() - began, len(recorder.finished) - concurrency
        full = lasted >= seconds and answered >= 2 * concurrency
        stretched = lasted >= 3 * seconds and answered >= FEWEST
        if full or stretched or lasted >= LONGEST_S:
            break
        time.sleep(0.01)
    return time.perf_counter()


def _steady_window(finished: list[tuple[float, float, int]], ramp: int, ended: float) -> LoadResult:
    """The requests that finished after the ramp's last one and before ``ended``."""
    ordered = sorted(finished, key=lambda request: request[1])
    began = ordered[ramp - 1][1]
    window = [request for request in ordered[ramp:] if request[1] <= ended]
    if not window:
        raise BenchmarkError("no request finished inside the window: give it more seconds")
    # Ending at the last answer, not at the clock, takes away the rounding to whole requests.
    seconds = window[-1][1] - began
    latencies = [end - begin for begin, end, _ in window]
    overall = sum(end - begin for begin, end, _ in ordered) / len(ordered)
    return LoadResult(ramp, seconds, latencies, sum(tokens for *_, tokens in window), overall)
