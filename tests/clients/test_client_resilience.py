"""Retries, time limits, order and the bound on requests in flight, against a server that misbehaves."""

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clients import (
    AsyncSentimentClient,
    InvalidText,
    Limits,
    RequestTimeout,
    SentimentClient,
    ServerBusy,
    ServerError,
    ServerUnavailable,
)
from tests.clients import fakes
from tests.clients.fakes import MAX_BATCH_SIZE, free_port
from tests.waiting import until

TEXTS = [f"text {number} {'x' * (number * 37 % 211)}" for number in range(60)]


def labels(sentiments):
    return [sentiment.label for sentiment in sentiments]


@pytest.mark.parametrize("fault", ["busy", "queue", "reset"])
def test_passing_failure_is_retried(fake, protocol, fault):
    fake.faults.extend([fault] * 3)
    with SentimentClient(fake.url, protocol, limits=Limits(max_in_flight=1)) as client:
        assert labels(client.classify(["a text"])) == ["a text"]
    assert fake.calls == 4


async def test_asyncio_client_retries_too(fake, protocol):
    fake.faults.extend(["busy", "queue"])
    async with AsyncSentimentClient(fake.url, protocol) as client:
        assert (await client.classify_one("a text")).label == "a text"
    assert fake.calls == 3


def test_full_queue_that_stays_full_ends_as_server_busy(fake, protocol):
    fake.faults.extend(["queue"] * 1000)
    with (
        SentimentClient(fake.url, protocol, limits=Limits(deadline=2.0)) as client,
        pytest.raises(ServerBusy, match="send less"),
    ):
        client.classify(["a text"])
    assert fake.calls > 1


def test_zero_deadline_turns_retries_off(fake, protocol):
    fake.faults.append("busy")
    with (
        SentimentClient(fake.url, protocol, limits=Limits(deadline=0)) as client,
        pytest.raises(ServerUnavailable),
    ):
        client.classify(["a text"])
    assert fake.calls == 1


def test_lasting_failure_is_not_retried(fake, protocol):
    fake.faults.append("internal")
    with SentimentClient(fake.url, protocol) as client, pytest.raises(ServerError, match="boom"):
        client.classify(["a text"])
    assert fake.calls == 1


def test_slow_answer_is_given_up_and_the_client_goes_on(fake, protocol):
    fake.faults.append(4.0)
    with SentimentClient(fake.url, protocol, limits=Limits(timeout=1.5)) as client:
        with pytest.raises(RequestTimeout, match=r"1\.5 s"):
            client.classify(["slow"])
        assert labels(client.classify(["quick"])) == ["quick"]
    assert fake.calls == 2


def test_server_that_starts_late_is_found(protocol):
    port = free_port()
    start = fakes.http_server if protocol == "http" else fakes.grpc_server
    with SentimentClient(f"127.0.0.1:{port}", protocol) as client, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(client.classify, ["anyone?"])
        time.sleep(0.4)
        assert not answer.done()
        with start(port):
            assert labels(answer.result(30)) == ["anyone?"]


def test_server_that_is_not_there_is_reported_with_the_remedy(protocol):
    with SentimentClient(f"127.0.0.1:{free_port()}", protocol, limits=Limits(deadline=0.3)) as client:
        assert not client.is_ready()
        with pytest.raises(ServerUnavailable, match="make serve"):
            client.classify(["anyone?"])
        with pytest.raises(ServerUnavailable, match="make serve"):
            client.wait_until_ready(0.1)


def test_long_list_is_split_by_the_servers_batch_size_and_keeps_its_order(fake, protocol):
    with SentimentClient(fake.url, protocol) as client:
        assert labels(client.classify(TEXTS)) == TEXTS
    assert max(map(len, fake.texts)) == MAX_BATCH_SIZE
    assert sorted(text for request in fake.texts for text in request) == sorted(TEXTS)


def test_batch_size_and_bytes_of_the_caller_are_kept(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=Limits(batch_size=2, batch_bytes=150)) as client:
        assert labels(client.classify(TEXTS)) == TEXTS
    for request in fake.texts:
        assert len(request) <= 2
        assert len(request) == 1 or sum(map(len, request)) <= 150


def test_order_survives_retries_and_slow_requests(fake, protocol):
    fake.faults.extend(["busy", 0.2, "queue", None, 0.1, "reset", None, "busy"])
    with SentimentClient(fake.url, protocol, limits=Limits(window=16)) as client:
        assert labels(client.stream(iter(TEXTS))) == TEXTS


def test_requests_in_flight_are_bounded_over_all_threads(fake, protocol):
    fake.delay = 0.02
    limits = Limits(max_in_flight=3)
    with SentimentClient(fake.url, protocol, limits=limits) as client, ThreadPoolExecutor(6) as threads:
        for answer in threads.map(client.classify, [TEXTS] * 6):
            assert labels(answer) == TEXTS
    assert fake.peak == 3


async def test_requests_in_flight_are_bounded_over_all_tasks(fake, protocol):
    fake.delay = 0.02
    async with AsyncSentimentClient(fake.url, protocol, limits=Limits(max_in_flight=3)) as client:
        for answer in await asyncio.gather(*(client.classify(TEXTS) for _ in range(6))):
            assert labels(answer) == TEXTS
    assert fake.peak == 3


def test_refused_text_costs_only_itself(fake, protocol):
    fake.refuses = lambda text: text in (TEXTS[7], TEXTS[40])
    with SentimentClient(fake.url, protocol) as client:
        outcomes = list(client.outcomes(TEXTS))
    refused = [outcome.index for outcome in outcomes if isinstance(outcome, InvalidText)]
    assert refused == [7, 40]
    assert all(outcomes[i].label == TEXTS[i] for i in range(len(TEXTS)) if i not in refused)


def test_classify_names_the_first_refused_text(fake, protocol):
    fake.refuses = lambda text: text in (TEXTS[7], TEXTS[40])
    with (
        SentimentClient(fake.url, protocol) as client,
        pytest.raises(InvalidText, match="not welcome") as caught,
    ):
        client.classify(TEXTS)
    assert caught.value.index == 7


def test_stream_reads_no_further_than_its_windows(fake, protocol):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield f"text {taken}"

    with SentimentClient(fake.url, protocol, limits=Limits(window=10)) as client:
        stream = client.stream(endless())
        assert [next(stream).label for _ in range(35)] == [f"text {number}" for number in range(1, 36)]
        stream.close()
    assert taken <= 35 + 3 * 10


async def test_asyncio_client_reads_asynchronous_sources(fake, protocol):
    async def source():
        for text in TEXTS:
            await asyncio.sleep(0)
            yield text

    async with AsyncSentimentClient(fake.url, protocol) as client:
        assert [sentiment.label async for sentiment in client.stream(source())] == TEXTS


def test_threads_share_a_client_without_mixing_answers(fake, protocol):
    lists = [[f"thread {thread} text {number}" for number in range(30)] for thread in range(12)]
    with SentimentClient(fake.url, protocol) as client, ThreadPoolExecutor(12) as threads:
        for answer, texts in zip(threads.map(client.classify, lists), lists, strict=True):
            assert labels(answer) == texts


def test_refusal_that_names_no_text_ends_the_call(fake, protocol):
    fake.faults.append("proxy")
    with (
        SentimentClient(fake.url, protocol) as client,
        pytest.raises(ServerError, match="Bad Request"),
    ):
        list(client.outcomes(["a", "b"]))


def test_overloaded_server_is_asked_again_when_it_said(fake, protocol):
    fake.faults.append("overload")
    with SentimentClient(fake.url, protocol) as client:
        client.connect()
        began = time.monotonic()
        assert labels(client.classify(["a text"])) == ["a text"]
    assert 0.4 <= time.monotonic() - began < 20


def test_retry_after_header_of_a_proxy_is_honoured():
    with fakes.http_server() as fake, SentimentClient(fake.url) as client:
        fake.retry_after = "1"
        fake.faults.append("busy")
        client.connect()
        began = time.monotonic()
        assert labels(client.classify(["a text"])) == ["a text"]
        assert time.monotonic() - began >= 1


def test_retry_after_header_is_told_to_the_caller():
    with fakes.http_server() as fake, SentimentClient(fake.url, limits=Limits(deadline=0)) as client:
        fake.retry_after = "17"
        fake.faults.append("busy")
        with pytest.raises(ServerBusy) as caught:
            client.classify(["a text"])
    assert caught.value.retry_after == 17


def test_request_that_waits_to_be_tried_again_gives_up_its_place(fake, protocol):
    fake.faults.append("far")
    limits = Limits(max_in_flight=1)
    with SentimentClient(fake.url, protocol, limits=limits) as client, ThreadPoolExecutor(2) as threads:
        client.connect()
        first = threads.submit(client.classify, ["refused first"])
        while fake.calls < 1:
            time.sleep(0.005)
        client.classify(["second"])
        assert not first.done()
        assert labels(first.result(30)) == ["refused first"]
    assert fake.texts == [["second"], ["refused first"]]


def test_every_caller_of_a_dead_server_is_told_at_the_same_deadline(protocol):
    limits = Limits(deadline=3.0, max_in_flight=2)
    began = time.monotonic()

    def ask(number: int) -> float:
        with pytest.raises(ServerUnavailable, match="make serve"):
            client.classify([f"caller {number}"])
        return time.monotonic() - began

    nobody = f"127.0.0.1:{free_port()}"
    with SentimentClient(nobody, protocol, limits=limits) as client, ThreadPoolExecutor(12) as threads:
        took = list(threads.map(ask, range(12)))
    assert max(took) < 6 * limits.deadline, "six waves of two, each with a deadline of its own, take 18 s"


def test_place_that_never_comes_free_is_told_at_the_deadline(fake, protocol):
    fake.delay = 5.0
    limits = Limits(deadline=0.5, max_in_flight=1)
    with SentimentClient(fake.url, protocol, limits=limits) as client, ThreadPoolExecutor(1) as threads:
        client.connect()
        first = threads.submit(client.classify, ["slow"])
        while fake.calls < 1:
            time.sleep(0.005)
        with pytest.raises(ServerBusy, match="max_in_flight"):
            client.classify(["second"])
        assert labels(first.result(30)) == ["slow"]


def test_dead_server_is_tried_by_one_request_at_a_time(fake, protocol):
    fake.down = True
    limits = Limits(max_in_flight=8, batch_size=1)
    with SentimentClient(fake.url, protocol, limits=limits) as client, ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(client.classify, [f"text {number}"]) for number in range(8)]
        time.sleep(3.0)
        tried = fake.calls
        until(lambda: fake.calls > 8)  # somebody asks again while it is down
        fake.down = False
        assert [labels(answer.result(60)) for answer in answers] == [[f"text {n}"] for n in range(8)]
    assert tried < 40, "8 callers with a back-off of their own try 60 times and more"


def test_slow_source_gets_its_answers_as_it_goes(fake, protocol):
    given: list[float] = []

    def slow():
        for number in range(60):
            time.sleep(0.05)
            given.append(time.monotonic())
            yield f"text {number}"

    with SentimentClient(fake.url, protocol) as client:
        client.connect()
        stream = client.stream(slow())
        assert next(stream).label == "text 0"
        assert len(given) < 30, "the first answer came after half of the texts"
        assert labels(stream) == [f"text {number}" for number in range(1, 60)]


def test_texts_before_a_silence_are_answered(fake, protocol):
    silence = threading.Event()

    def burst_then_silence():
        yield from TEXTS[:3]
        silence.wait(60)
        yield "last"

    with SentimentClient(fake.url, protocol) as client:
        stream = client.stream(burst_then_silence())
        assert [next(stream).label for _ in range(3)] == TEXTS[:3]
        assert not silence.is_set()
        silence.set()
        assert labels(stream) == ["last"]


def test_failure_of_the_source_reaches_the_caller(fake, protocol):
    def failing():
        yield "a text"
        raise OSError("the file is gone")

    with SentimentClient(fake.url, protocol) as client:
        stream = client.stream(failing())
        with pytest.raises(OSError, match="the file is gone"):
            list(stream)


def test_client_of_two_event_loops_in_turn_works_in_both(fake, protocol):
    client = AsyncSentimentClient(fake.url, protocol)

    async def ask(text: str) -> str:
        try:
            return (await client.classify_one(text)).label
        finally:
            await client._here().transport.close()

    assert [asyncio.run(ask(text)) for text in ("first", "second")] == ["first", "second"]


async def test_client_of_another_running_event_loop_says_so(fake, protocol):
    async with AsyncSentimentClient(fake.url, protocol) as client:
        await client.classify_one("a text")
        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.to_thread(asyncio.run, client.classify_one("a text"))


def test_time_limit_travels_with_the_request(fake, protocol):
    with SentimentClient(fake.url, protocol, limits=Limits(timeout=2.5)) as client:
        client.classify(["a text"])
    assert fake.parameters[0]["timeout"] == 2_500_000
    assert "background" not in fake.parameters[0]


def test_background_work_says_so(fake, protocol):
    with SentimentClient(fake.url, protocol, background=True) as client:
        client.classify(["a text"])
    assert fake.parameters[0]["background"] is True


async def test_call_may_have_a_time_limit_of_its_own(fake, protocol):
    fake.faults.append(1.5)
    async with AsyncSentimentClient(fake.url, protocol) as client:
        with pytest.raises(RequestTimeout, match=r"0\.3 s"):
            [outcome async for outcome in client.outcomes(["a text"], timeout=0.3)]
    assert fake.parameters[0]["timeout"] == 300_000


def test_ipv6_address_is_spoken_to(protocol):
    start = fakes.http_server if protocol == "http" else fakes.grpc_server
    with start(host="::1") as fake, SentimentClient(fake.url, protocol) as client:
        assert labels(client.classify(["a text"])) == ["a text"]


def test_closed_client_says_so(fake, protocol):
    client = SentimentClient(fake.url, protocol)
    client.classify(["a text"])
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.classify(["a text"])


def test_dropped_clients_leave_no_connections_behind(fake, protocol, caplog):
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def use() -> None:
        SentimentClient(fake.url, protocol).classify(["a text"])

    use()
    before = open_files()
    for _ in range(20):
        use()
    give_up_at = time.monotonic() + 60
    while open_files() > before + 5 and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert open_files() <= before + 5
    gc.collect()
    assert "Unclosed" not in caplog.text


def test_headers_travel_with_every_request(fake, protocol):
    headers = {"Authorization": "Bearer token"}
    with SentimentClient(fake.url, protocol, headers=headers) as client:
        client.classify(TEXTS)
    assert set(fake.tokens) == {"Bearer token"}
    assert headers == {"Authorization": "Bearer token"}
