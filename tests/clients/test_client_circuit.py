"""The back-off that the requests of a client share while the server is dead."""

import asyncio

import pytest

from clients.circuit import Circuit
from clients.errors import InvalidText, RequestTimeout, SentimentError, ServerBusy, ServerUnavailable

DOWN = ServerUnavailable("down")


async def fail(circuit: Circuit, error: Exception = DOWN) -> None:
    with pytest.raises(type(error)):
        async with circuit.turn():
            raise error


async def test_requests_of_a_dead_server_try_one_at_a_time():
    circuit, at_once, most, tries = Circuit(lambda low, high: 0.0), 0, 0, 0
    await fail(circuit)

    async def ask() -> None:
        nonlocal at_once, most, tries
        async with circuit.turn():
            at_once, tries = at_once + 1, tries + 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            if tries < 5:
                raise DOWN

    failures = await asyncio.gather(*(ask() for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(failure, ServerUnavailable) for failure in failures) == 4
    assert most > 1, "after the fifth trial went well all of them go"


async def test_only_the_trial_runs_until_it_ends():
    circuit = Circuit(lambda low, high: 0.0)
    await fail(circuit)
    started: list[int] = []
    answer = asyncio.Event()

    async def ask(number: int) -> None:
        async with circuit.turn():
            started.append(number)
            await answer.wait()

    tasks = [asyncio.create_task(ask(number)) for number in range(6)]
    await asyncio.sleep(0.05)
    assert len(started) == 1
    answer.set()
    await asyncio.gather(*tasks)
    assert sorted(started) == list(range(6))


async def test_delay_before_a_trial_grows_while_the_server_is_down():
    bounds: list[float] = []
    circuit = Circuit(lambda low, high: bounds.append(high) or 0.0)
    for _ in range(4):
        await fail(circuit)
    assert bounds == pytest.approx([0.05, 0.1, 0.2])
    async with circuit.turn():
        pass
    await fail(circuit)
    await fail(circuit)
    assert bounds[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("answer", [ServerBusy("full"), InvalidText("is long"), SentimentError("failed")])
async def test_refusal_is_the_answer_of_a_living_server(answer):
    circuit = Circuit(lambda low, high: 0.0)
    await fail(circuit)
    await fail(circuit, answer)
    assert circuit.error is None


async def test_time_limit_tells_nothing_about_the_server():
    circuit = Circuit(lambda low, high: 0.0)
    await fail(circuit, RequestTimeout("slow"))
    assert circuit.error is None
    await fail(circuit)
    await fail(circuit, RequestTimeout("slow"))
    assert circuit.error is DOWN


async def test_cancelled_trial_hands_its_turn_on():
    circuit = Circuit(lambda low, high: 0.05)
    await fail(circuit)

    async def ask() -> str:
        async with circuit.turn():
            return "answered"

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.wait_for(second, 30) == "answered"
