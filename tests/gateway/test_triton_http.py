"""The gateway's HTTP to Triton, against a server that misbehaves; the healthy one is in the other tests.

httptools is in the server's environment, so the client runs there.
"""

import json
import subprocess

from tests.clients import fakes
from tests.gateway.running import ROOT, server_python

PROGRAM = """
import asyncio, json, sys
from clients import AsyncSentimentClient, Limits, SentimentError
from clients.batching import Batch
from gateway.triton_http import TritonHttp

def connect(url):
    limits = Limits(timeout=30, deadline=0, max_in_flight=3)
    headers = {"Authorization": "us"}
    return AsyncSentimentClient(url, "http", "sentiment", limits, headers, transport=TritonHttp)

async def ask(client, text, timeout=30.0):
    try:
        [answer] = await client.classify_batch(Batch((0,), (text,)), "an id", timeout, "00-trace")
        return answer if isinstance(answer, Exception) else answer.label
    except SentimentError as error:
        return error

async def main(url, proxy, nobody):
    client = connect(url)
    found = [await ask(client, "first"), await ask(client, "na\\u00efve \\u0000 \\u4e16")]
    for text in ("busy", "proxied", "overload", "queue", "internal", "reset", "unwelcome"):
        error = await ask(client, text)
        found.append([type(error).__name__, getattr(error, "retry_after", None)])
    found.append(type(await ask(client, "late", 0.3)).__name__)
    leaving = asyncio.create_task(ask(client, "left"))
    await asyncio.sleep(0.3)
    leaving.cancel()
    found.append(type((await asyncio.gather(leaving, return_exceptions=True))[0]).__name__)
    found.append(await asyncio.gather(*(ask(client, f"text {number}") for number in range(9))))
    found.append((await client.model_config())["name"])
    await client.close()
    async with connect(proxy) as client:
        found.append((await ask(client, "busy")).retry_after)
    async with connect(nobody) as client:
        found.append([type(await ask(client, "anyone?")).__name__, await client.is_ready()])
    print(json.dumps(found))

asyncio.run(main(*sys.argv[1:]))
"""


def test_errors_are_those_of_the_sdk_and_no_answer_is_mistaken_for_another() -> None:
    with fakes.http_server() as fake, fakes.http_server() as proxy:
        fake.faults.extend([None, None, "busy", "proxy", "overload", "queue", "internal", "reset", None])
        fake.faults.extend([2.0, 2.0])
        fake.refuses = lambda text: text == "unwelcome"
        proxy.faults.append("busy")
        proxy.retry_after = "7"
        program = [server_python(), "-c", PROGRAM, fake.url, proxy.url, f"127.0.0.1:{fakes.free_port()}"]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    assert json.loads(ended.stdout) == [
        "first",
        "naïve \x00 世",
        ["ServerUnavailable", None],
        ["ServerError", None],
        ["ServerBusy", 0.4],
        ["ServerBusy", None],
        ["ServerError", None],
        ["ServerUnavailable", None],
        ["InvalidText", None],
        "RequestTimeout",
        "CancelledError",
        [f"text {number}" for number in range(9)],
        "sentiment",
        7.0,
        ["ServerUnavailable", False],
    ]
    assert fake.peers[0] == fake.peers[5], "a connection is kept, behind refusals too"
    assert len(set(fake.peers[-9:])) == 3, "and never used for two requests at once"
    assert fake.tokens == ["us"] * len(fake.peers)
    assert fake.parameters[0] == {"timeout": 30_000_000}
