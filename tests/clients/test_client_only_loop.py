"""`only_loop`: gRPC's asyncio support. It needs a process with one event loop, which that of tests is not."""

import json
import subprocess
import sys
from pathlib import Path

from tests.clients import fakes

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, json, os, socket, sys
from clients import AsyncSentimentClient, Limits, RequestTimeout

TEXTS = [f"text {number}" for number in range(40)]

def patience_of_connections():
    # Seconds after which the kernel gives up on a peer that is silent (tcp(7), TCP_USER_TIMEOUT).
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as each:
                each.getpeername()
                if each.family in (socket.AF_INET, socket.AF_INET6):
                    yield each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        except OSError:
            pass  # no socket, or one without a peer

async def main(url):
    found = {}
    async with AsyncSentimentClient(url, "grpc", limits=Limits(max_in_flight=3), only_loop=True) as client:
        lists = await asyncio.gather(*(client.classify(TEXTS) for _ in range(4)))
        found["right"] = all([each.label for each in answers] == TEXTS for answers in lists)
        found["transport"] = type(client._here().transport).__name__
        found["patience"] = list(patience_of_connections())
        found["after two refusals"] = (await client.classify_one("again")).label
        try:
            [outcome async for outcome in client.outcomes(["late"], timeout=0.3)]
        except RequestTimeout as error:
            found["late"] = str(error)
        leaving = asyncio.create_task(client.classify_one("left"))
        await asyncio.sleep(0.3)
        leaving.cancel()
        found["left"] = type((await asyncio.gather(leaving, return_exceptions=True))[0]).__name__
        found["at last"] = (await client.classify_one("at last")).label
    print(json.dumps(found))

asyncio.run(main(sys.argv[1]))
"""


def test_an_asyncio_service_gets_right_answers_retries_and_time_limits() -> None:
    with fakes.grpc_server() as fake:
        requests = 4 * 40 // fakes.MAX_BATCH_SIZE
        fake.faults.extend([None] * requests + ["busy", "overload", None, 5.0, 5.0])
        program = [sys.executable, "-c", PROGRAM, fake.url]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    found = json.loads(ended.stdout)
    assert "0.3 s" in found.pop("late")
    assert found == {
        "right": True,
        "transport": "GrpcAioTransport",
        "patience": [20.0],
        "after two refusals": "again",
        "left": "CancelledError",
        "at last": "at last",
    }
    assert fake.peak == 3
    assert fake.parameters[requests + 3]["timeout"] == 300_000


ERRORS = """
import asyncio, json, sys
from clients import AsyncSentimentClient, Limits, SentimentError

def connect(url):
    limits = Limits(timeout=30, deadline=0, max_in_flight=3)
    return AsyncSentimentClient(url, "grpc", limits=limits, headers={"Authorization": "us"}, only_loop=True)

async def ask(client, text):
    try:
        return (await client.classify_one(text)).label
    except SentimentError as error:
        return [type(error).__name__, getattr(error, "retry_after", None)]

async def main(url, nobody):
    async with connect(url) as client:
        await client.connect()
        found = [(await client.model_config())["name"]]
        found.append(await ask(client, "na\\u00efve \\u0000 \\u4e16"))
        for text in ("busy", "proxied", "overload", "queue", "internal", "reset", "unwelcome", "welcome"):
            found.append(await ask(client, text))
    async with connect(nobody) as client:
        found.append([await ask(client, "anyone?"), await client.is_ready()])
    print(json.dumps(found))

asyncio.run(main(*sys.argv[1:]))
"""


def test_its_errors_are_those_of_the_sdk() -> None:
    with fakes.grpc_server() as fake:
        fake.faults.extend([None, "busy", "proxy", "overload", "queue", "internal", "reset"])
        fake.refuses = lambda text: text == "unwelcome"
        program = [sys.executable, "-c", ERRORS, fake.url, f"127.0.0.1:{fakes.free_port()}"]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [
        "sentiment",
        "naïve \x00 世",
        ["ServerUnavailable", None],
        ["ServerError", None],
        ["ServerBusy", 0.4],
        ["ServerBusy", None],
        ["ServerError", None],
        ["ServerUnavailable", None],
        ["InvalidText", None],
        "welcome",
        [["ServerUnavailable", None], False],
    ]
    assert fake.tokens == ["us"] * len(fake.peers)
    assert len(set(fake.peers)) == 1
    assert fake.parameters[0] == {"timeout": 30_000_000}
