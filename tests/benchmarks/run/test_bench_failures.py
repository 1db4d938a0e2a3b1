"""One contestant fails on purpose, as a real process; the others keep their figures."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.load.callers import flask_caller
from benchmarks.measure.failures import Failures
from benchmarks.measure.processes import free_port, wait_until
from benchmarks.rivals.flask_server import FlaskSettings
from benchmarks.run.suite import load_curves, perf, table
from benchmarks.servers import contestants as names
from benchmarks.servers.arena import FlaskChoice, open_arena
from benchmarks.servers.contestants import Contestant

# Answers so many requests as its second argument says, then 500 or nothing at all.
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    left = int(sys.argv[2])
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Handler.left -= 1
        if Handler.left < 0 and sys.argv[3] == "dies":
            os._exit(1)
        self.send_response(200 if Handler.left >= 0 else 500)
        self.end_headers()
        self.wfile.write(b'{"prediction": "positive"}')
    def log_message(self, *arguments):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(params=["500", "dies"])
def failing(request) -> Iterator[Contestant]:
    """Answers three requests, and then 500, or its process ends."""
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port), "3", request.param]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        caller = flask_caller(url, "single")
        wait_until(lambda: _listens(port), lambda: process.poll() is None, 10, "the failing server")
        yield Contestant(names.FLASK_BEST, caller, caller, url, process.pid)
        process.kill()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_crash_in_the_middle_costs_the_rows_of_who_crashed(stage, arena, failing) -> None:
    ours = arena.contestants[names.SENTIMENT]
    live = replace(arena, contestants={failing.key: failing, ours.key: ours}, failed={"other": "no such"})
    own = replace(stage, failures=Failures())
    rows = load_curves.measure_load(own, live, {1: 2, 4: 1})
    assert [row["contestant"] for row in rows].count(ours.key) == 3
    assert failing.key not in {row["contestant"] for row in rows}
    reasons = own.failures.take()
    assert reasons.keys() == {failing.key, "other"}
    assert reasons[failing.key].startswith("1 clients, round 1: a request failed under load")


def test_a_failing_query_of_the_table_leaves_ours(stage, arena, failing) -> None:
    live = replace(arena, contestants={**arena.contestants, names.FLASK_LATENCY: failing})
    own = replace(stage, failures=Failures())
    rounds = table.measure_table(own, live)["rounds"]
    assert all(names.SENTIMENT_FAST in each for each in rounds.values())
    assert rounds["all_queries_on_basic_endpoint"].keys() == set(names.OURS)
    assert own.failures.take().keys() == {"flask"}


def test_a_failing_case_of_perf_analyzer_is_named(stage, arena) -> None:
    own, two = replace(stage, failures=Failures()), perf.Load(concurrency=2)
    cases = [perf.Case(names.SENTIMENT, two, length="nothing"), perf.Case(names.SENTIMENT, two)]
    assert len(perf.measure_cases(own, arena, cases)) == 1
    assert own.failures.take().keys() == {"sentiment over http, nothing texts, 2 clients"}


@pytest.mark.slow
def test_a_rival_that_does_not_start_leaves_the_others(bench_checkpoint, bench_repository) -> None:
    broken = FlaskChoice(FlaskSettings(workers=1, fast_dtype="no such type"))
    with open_arena(bench_checkpoint, bench_repository, {names.FLASK_BEST: broken}) as live:
        (why,) = live.failed.values()
        assert why.startswith("the Flask app ended before it was ready: ")
        assert {names.PADDED, *names.OURS} <= live.contestants.keys()
