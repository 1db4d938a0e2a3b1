"""Requests arrive at random; a balancer gives each to the replica with the fewest; cores take them in turn.

A core works on one request at a time (the backend gives each of several requests one thread), first come,
first served. A replica refuses a request when the work that waits there would take longer than
`max_queue_seconds`, as the server does.
The time of a request is `overhead + tokens * seconds_per_token`: what it costs alone on one core.

Not modelled: a lone request on all cores, runs of several short texts, other users of the machine.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy.capacity.autoscaler import Scaler

Rate = Callable[[float], float]  # requests a second at that time


@dataclass(frozen=True)
class Server:
    """One replica, as measured. Times in seconds."""

    cores: int = 2
    seconds_per_token: float = 190e-6
    overhead: float = 0.002
    max_queue_seconds: float = 2.0

    def service(self, tokens: int) -> float:
        """Seconds of one core for a text of so many tokens."""
        return self.overhead + tokens * self.seconds_per_token


@dataclass
class Replica:
    """`free[i]`: when core i has done all that was given to it."""

    free: list[float]
    ends: list[float] = field(default_factory=list)  # a heap: when each unfinished request is answered

    def forget_finished(self, now: float) -> None:
        """After this, `ends` counts the requests that are under way."""
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)

    def wait(self, now: float) -> float:
        """How long a request that comes now waits for a core."""
        return max(0.0, min(self.free) - now)

    def take(self, now: float, service: float) -> float:
        """When it is answered."""
        core = self.free.index(min(self.free))
        end = self.free[core] = max(now, self.free[core]) + service
        heapq.heappush(self.ends, end)
        return end


@dataclass
class Simulated:
    """Of each request, in their order: arrival and latency in seconds; a latency of NaN was refused."""

    arrivals: np.ndarray
    latencies: np.ndarray
    replicas: list[tuple[float, int]]  # how many there were, from when on

    @property
    def refused(self) -> float:
        """Share of the requests that were refused."""
        return float(np.isnan(self.latencies).mean()) if len(self.latencies) else 0.0

    def quantile(self, share: float) -> float:
        """Latency in seconds that so many of the answered requests stay under; infinite without any."""
        answered = self.latencies[~np.isnan(self.latencies)]
        return float(np.quantile(answered, share)) if len(answered) else float("inf")


class Fleet:
    """Replicas behind a balancer that prefers the one with the fewest requests (HAProxy's `leastconn`)."""

    def __init__(self, server: Server, replicas: int) -> None:
        self.server = server
        self.replicas = [self._new(0.0) for _ in range(replicas)]

    def _new(self, now: float) -> Replica:
        return Replica([now] * self.server.cores)

    def resize(self, replicas: int, now: float) -> None:
        """New ones are ready at once; one that goes answers what it has."""
        self.replicas = self.replicas[:replicas]
        self.replicas += [self._new(now) for _ in range(replicas - len(self.replicas))]

    def offer(self, now: float, tokens: int) -> tuple[float, float]:
        """Latency of a request that arrives now and how long it waited; NaN when it is refused."""
        for replica in self.replicas:
            replica.forget_finished(now)
        chosen = min(self.replicas, key=lambda replica: len(replica.ends))
        wait = chosen.wait(now)
        if wait > self.server.max_queue_seconds:
            return float("nan"), wait
        return chosen.take(now, self.server.service(tokens)) - now, wait


def arrivals(rate: Rate, peak: float, seconds: float, random: np.random.Generator) -> Iterator[float]:
    """A Poisson process whose rate changes, by thinning (Lewis and Shedler, 1979). `peak` bounds it."""
    now = 0.0
    while (now := now + random.exponential(1 / peak)) < seconds:
        if random.random() * peak < rate(now):
            yield now


def simulate(
    server: Server,
    replicas: int,
    rate: float | Rate,
    tokens: Sequence[int],
    seconds: float,
    seed: int = 0,
    scaler: Scaler | None = None,
    peak: float | None = None,
) -> Simulated:
    """So many seconds of load; each request has the length of a random one of `tokens`.

    A `rate` that changes needs its `peak`. With a `scaler` the number of replicas follows the load.
    """
    random = np.random.default_rng(seed)
    function = rate if callable(rate) else lambda now: rate
    highest = peak if peak is not None else function(0.0)
    fleet, history = Fleet(server, replicas), [(0.0, replicas)]
    times, latencies = [], []
    for now in arrivals(function, highest, seconds, random):
        if scaler is not None:
            for when, count in scaler.decide(now):
                fleet.resize(count, when)
                history.append((when, count))
        latency, wait = fleet.offer(now, int(random.choice(tokens)))
        if scaler is not None:
            scaler.saw(now, wait)
        times.append(now)
        latencies.append(latency)
    return Simulated(np.array(times), np.array(latencies), history)
