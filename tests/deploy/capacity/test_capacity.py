"""The simulation against queueing theory and against a measured server."""

import json
import math

import numpy as np
import pytest

from deploy.capacity.__main__ import RUN
from deploy.capacity.autoscaler import Scaler
from deploy.capacity.simulation import Fleet, Server, simulate

UNBOUNDED = float("inf")


def erlang_c(servers: int, load: float) -> float:
    """Probability that a request waits in M/M/c; `load` in Erlang (Cooper, Queueing Theory)."""
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    return top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (2, 0.8), (4, 0.7)])
def test_mean_wait_of_exponential_service_is_that_of_m_m_c(servers: int, utilisation: float) -> None:
    mean = 0.05
    rate = utilisation * servers / mean
    tokens = np.random.default_rng(1).exponential(50_000, 200_000).astype(int) + 1
    server = Server(cores=servers, seconds_per_token=1e-6, overhead=0.0, max_queue_seconds=UNBOUNDED)
    outcome = simulate(server, 1, rate, tokens, seconds=60_000 / rate)
    expected = mean + erlang_c(servers, rate * mean) * mean / (servers * (1 - utilisation))
    assert outcome.latencies.mean() == pytest.approx(expected, rel=0.08)


def test_mean_wait_of_constant_service_is_that_of_pollaczek_and_khinchine() -> None:
    server = Server(cores=1, seconds_per_token=0.0, overhead=0.01, max_queue_seconds=UNBOUNDED)
    outcome = simulate(server, 1, rate=70.0, tokens=[1], seconds=800)
    utilisation = 0.7
    assert outcome.latencies.mean() == pytest.approx(
        0.01 + utilisation * 0.01 / (2 * (1 - utilisation)), rel=0.05
    )


def test_overload_is_refused_and_what_is_accepted_stays_below_the_limit() -> None:
    server = Server(cores=2, seconds_per_token=0.0, overhead=0.02, max_queue_seconds=2.0)
    outcome = simulate(server, 1, rate=400.0, tokens=[1], seconds=60)
    assert outcome.refused == pytest.approx(0.75, abs=0.02)  # four times the capacity
    assert outcome.quantile(1.0) <= 2.0 + 0.02 + 1e-9


def test_more_replicas_never_make_it_slower() -> None:
    server, tokens = Server(), [275]
    slowest = [simulate(server, count, 60.0, tokens, seconds=120).quantile(0.99) for count in (2, 3, 4, 6)]
    assert slowest == sorted(slowest, reverse=True)


def test_balancer_prefers_the_replica_with_the_fewest_requests() -> None:
    fleet = Fleet(Server(cores=1), 3)
    for _ in range(3):
        fleet.offer(0.0, 100)
    assert [len(replica.ends) for replica in fleet.replicas] == [1, 1, 1]


def test_autoscaler_ends_the_refusals_of_a_lasting_load_and_gives_the_replicas_back() -> None:
    server = Server(cores=2, seconds_per_token=0.0, overhead=0.05)

    def rate(now: float) -> float:
        return 400.0 if 60 <= now < 600 else 40.0

    outcome = simulate(server, 3, rate, [1], seconds=1800, scaler=Scaler(least=3, most=20), peak=400.0)
    late = outcome.latencies[(outcome.arrivals > 400) & (outcome.arrivals < 600)]
    early = outcome.latencies[(outcome.arrivals > 65) & (outcome.arrivals < 90)]
    assert np.isnan(early).mean() > 0.3, "three replicas carry 120 requests a second"
    assert np.isnan(late).mean() == 0
    assert max(count for _, count in outcome.replicas) >= 10
    assert outcome.replicas[-1][1] < max(count for _, count in outcome.replicas)


def test_measured_open_loop_of_one_server_is_met() -> None:
    """perf_analyzer's Poisson load on one real server of two cores (`make bench`), up to 70% of its limit.

    The simulation is given one number of that run: the tokens a second of its closed loop. The rate is
    the one that perf_analyzer achieved.
    """
    sections = json.loads(RUN.read_text())["sections"]
    tokens = sections["layers24"]["imdb_tokens"]
    speed = sections["layers24.layers"]["sentiment_fast"]["tokens_per_second"]
    server = Server(cores=2, seconds_per_token=2 / speed, overhead=0.0)
    measured = [row["summary"] for row in sections["layers24.perf_open"]]
    below = [each for each in measured if each["Inferences/Second"] * np.mean(tokens) < 0.7 * speed]
    assert len(below) >= 6
    for each in below:
        rate = each["Inferences/Second"]
        simulated = simulate(server, 1, rate, tokens, seconds=1500 / rate)
        assert simulated.quantile(0.5) * 1e6 == pytest.approx(each["p50 latency"], rel=0.35)
        assert simulated.quantile(0.99) * 1e6 == pytest.approx(each["p99 latency"], rel=0.35)
