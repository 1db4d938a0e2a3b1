"""SIGTERM under full load: what was accepted is answered, what comes later is refused, the exit code is 0."""

import http.client
import json
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability.launched import launched, serving
from tests.waiting import until

CLIENTS = 16
REFUSALS = {"the server is stopping": "refused", "the server is busy": "busy"}
BODY = json.dumps({"text": "a good film " * 60})


@dataclass
class Clients:
    """Each asks again and again, on a new connection, until it is refused."""

    port: int
    outcomes: list[tuple[float, str]] = field(default_factory=list)  # when it was sent, what became of it

    def run(self) -> None:
        while not self.outcomes or self.outcomes[-1][1] != "refused":
            sent = time.monotonic()
            self.outcomes.append((sent, self.ask()))

    def ask(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.connect()
            connection.request("POST", "/v2/models/sentiment/generate", BODY)
            response = connection.getresponse()
            content = json.loads(response.read())
        except ConnectionRefusedError:
            return "refused"
        except ConnectionError as error:  # it was still in the kernel's queue: nobody had accepted it
            return f"dropped: {type(error).__name__}"
        finally:
            connection.close()
        if response.status == 503:
            return "refused"
        for reason, meaning in REFUSALS.items():  # /generate has only status 400 for them
            if reason in content.get("error", ""):
                return meaning
        return "answered" if content.get("label") else f"HTTP {response.status}: {content}"


def test_sigterm_under_full_load_answers_what_it_accepted_and_refuses_the_rest(
    published_repository: Path,
) -> None:
    with launched(serving(published_repository)) as server:
        server.wait_until_ready()
        clients = [Clients(server.http_port) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=each.run) for each in clients]
        for thread in threads:
            thread.start()
        until(lambda: all(len(each.outcomes) >= 2 for each in clients))
        asked_to_stop = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(timeout=120)
        _, log = server.process.communicate(timeout=120)
    assert server.process.returncode == 0, log
    before = Counter(
        what.partition(":")[0] for each in clients for sent, what in each.outcomes if sent < asked_to_stop
    )
    assert before["dropped"] + before["refused"] <= 2, before  # on their way, accepted by nobody
    assert set(before) - {"busy", "dropped", "refused"} == {"answered"}, before
    after = Counter(what for each in clients for sent, what in each.outcomes if sent >= asked_to_stop)
    assert before["refused"] + after["refused"] >= CLIENTS
    assert {what.partition(":")[0] for what in after} <= {"answered", "refused", "dropped", "busy"}, after
