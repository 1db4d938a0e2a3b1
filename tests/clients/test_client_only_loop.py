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
