"""Processes that die or stop under load: found, restarted, and never taken for ready meanwhile."""

import os
import signal
from collections.abc import Callable

import psutil
import pytest

from benchmarks.soak.faults import kill_server, signal_stub
from benchmarks.soak.traffic import Traffic
from serving.launcher import TritonServer
from tests.reliability.conftest import Health, Supervised, more_answers

FAULTS = {
    "SIGKILL of the tokenizer's process": (
        lambda server: signal_stub(server, "mobilebert_tokenizer", signal.SIGKILL),
        "lost the process of mobilebert_tokenizer",
    ),
    "SIGKILL of a model's process": (
        lambda server: signal_stub(server, "mobilebert_fp32", signal.SIGKILL),
        "lost the process of mobilebert_fp32",
    ),
    "SIGKILL of tritonserver": (kill_server, "was killed by SIGKILL"),
    "SIGSTOP of a model's process": (
        lambda server: signal_stub(server, "mobilebert_fp32", signal.SIGSTOP),
        "has the process of mobilebert_fp32",
    ),
    "SIGSTOP of tritonserver": (lambda server: os.kill(server.pid, signal.SIGSTOP), "is stopped (SIGSTOP)"),
}


@pytest.mark.parametrize(("fault", "line"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_under_load_costs_no_answer_and_health_tells_the_truth(
    supervised: Supervised, traffic: Traffic, fault: Callable[[TritonServer], None], line: str
) -> None:
    log, restarts = supervised.log, supervised.restarts
    old = [psutil.Process(supervised.server.pid), *psutil.Process(supervised.server.pid).children()]
    with Health(supervised.server.http_url) as health:
        more_answers(traffic)
        found, ready_again = (
            log.wait_for_new(f"tritonserver {line}"),
            log.wait_for_new("is ready again after"),
        )
        fault(supervised.server)
        found()
        ready_again()
        more_answers(traffic)
    gap = health.between(log.times("; restart")[-1], log.times("is ready again after")[-1])
    while gap and gap[-1] == 200:  # it is ready a moment before the launcher says so
        gap.pop()
    assert gap, "health was not asked in time"
    assert 200 not in gap
    assert supervised.restarts == restarts + 1
    _, left = psutil.wait_procs(old, timeout=20)
    assert not left
