"""Which texts go to Triton together, and that none of them pays for another."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import InvalidText, Sentiment, ServerBusy, ServerError
from clients.pipeline import Outcome
from gateway import gathering
from gateway.gathering import AT_ONCE, LONGEST, MOST_TEXTS, Gathering


class Triton:
    """Answers each text with itself as the label, once it is open. requests: texts, ids, timeout, trace."""

    def __init__(self, fails: Callable[[tuple[str, ...]], Exception | None] = lambda texts: None) -> None:
        self.requests: list[tuple[tuple[str, ...], str, float, str]] = []
        self.open = asyncio.Event()
        self._fails = fails

    async def send(self, texts: tuple[str, ...], ids: str, timeout: float, trace: str) -> list[Outcome]:
        self.requests.append((texts, ids, timeout, trace))
        await self.open.wait()
        if error := self._fails(texts):
            raise error
        return [InvalidText("is bad") if text == "bad" else answered(text) for text in texts]

    @property
    def groups(self) -> list[tuple[str, ...]]:
        return [request[0] for request in self.requests]


def answered(text: str) -> Sentiment:
    return Sentiment(label=text, score=1.0, probabilities=(1.0,), num_tokens=3, truncated=False)


def ask(gathered: Gathering, text: str, timeout: float = 60.0, trace: str = "") -> asyncio.Task[Any]:
    return asyncio.create_task(gathered.outcome(text, f"id-{text[:9]}", timeout, trace))


async def busy(triton: Triton) -> tuple[Gathering, list[asyncio.Task[Any]]]:
    """As many texts at work as go alone."""
    gathered = Gathering(triton.send)
    tasks = [ask(gathered, f"first{number}") for number in range(AT_ONCE)]
    await asyncio.sleep(0)
    assert triton.groups == [(f"first{number}",) for number in range(AT_ONCE)]
    return gathered, tasks


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts wait for others or for a place, and never go because of the time."""
    monkeypatch.setattr(gathering, "PATIENCE", 3600.0)


def label(answer: Any) -> Any:
    return answer.label if isinstance(answer, Sentiment) else type(answer).__name__


def test_one_after_the_other_each_goes_at_once(patient: None) -> None:
    async def test() -> None:
        triton = Triton()
        triton.open.set()
        gathered = Gathering(triton.send)
        for number in range(3 * AT_ONCE):
            assert label(await ask(gathered, str(number))) == str(number)
        assert triton.groups == [(str(number),) for number in range(3 * AT_ONCE)]

    run(test)


def test_behind_texts_at_work_others_gather_until_they_are_enough(patient: None) -> None:
    async def test() -> None:
        triton = Triton()
        gathered, tasks = await busy(triton)
        texts = [f"text{number}" for number in range(2 * MOST_TEXTS + 1)]
        tasks += [ask(gathered, text) for text in texts]
        await asyncio.sleep(0.05)
        full = [tuple(texts[:MOST_TEXTS]), tuple(texts[MOST_TEXTS : 2 * MOST_TEXTS])]
        assert triton.groups[AT_ONCE:] == full
        assert triton.requests[AT_ONCE][1] == " ".join(f"id-{text}" for text in full[0])
        triton.open.set()
        answers = await asyncio.gather(*tasks)
        assert [label(answer) for answer in answers[AT_ONCE:]] == texts
        assert triton.groups[-1] == (texts[-1],)  # when others had left, the last one went alone

    run(test)


def test_too_few_go_when_their_patience_ends() -> None:
    async def test() -> None:
        triton = Triton()
        gathered, tasks = await busy(triton)
        tasks += [ask(gathered, "one"), ask(gathered, "two")]
        await asyncio.sleep(0)
        assert len(triton.groups) == AT_ONCE
        await asyncio.sleep(20 * gathering.PATIENCE)
        assert triton.groups[AT_ONCE:] == [("one", "two")]
        tasks.append(ask(gathered, "three"))
        await asyncio.sleep(20 * gathering.PATIENCE)
        assert triton.groups[-1] == ("three",)
        triton.open.set()
        await asyncio.gather(*tasks)

    run(test)


def test_what_must_not_gather_goes_alone_and_at_once(patient: None) -> None:
    async def test() -> None:
        triton = Triton()
        gathered, tasks = await busy(triton)
        long = "x" * (LONGEST + 1)
        tasks += [ask(gathered, "waits"), ask(gathered, long), ask(gathered, "traced", trace="00-a-b-01")]
        tasks += [ask(gathered, "hurry", timeout=0.5), ask(gathered, "y" * LONGEST)]
        await asyncio.sleep(0.05)
        assert triton.groups[AT_ONCE:] == [(long,), ("traced",), ("hurry",)]
        assert triton.requests[AT_ONCE + 1][3] == "00-a-b-01"
        assert triton.requests[AT_ONCE + 2][2] == 0.5
        triton.open.set()
        await asyncio.gather(*tasks)
        assert triton.groups[-1] == ("waits", "y" * LONGEST)

    run(test)


async def answers_of_four(triton: Triton) -> list[Any]:
    assert MOST_TEXTS == 4
    gathered, tasks = await busy(triton)
    four = [ask(gathered, text) for text in ("good", "bad", "poison", "fine")]
    triton.open.set()
    answers = await asyncio.gather(*four, return_exceptions=True)
    await asyncio.gather(*tasks)
    return [label(answer) for answer in answers]


def test_a_text_that_breaks_the_request_fails_alone() -> None:
    async def test() -> None:
        triton = Triton(lambda texts: ServerError("broke") if "poison" in texts else None)
        assert await answers_of_four(triton) == ["good", "InvalidText", "ServerError", "fine"]
        assert triton.groups[AT_ONCE:] == [
            ("good", "bad", "poison", "fine"),
            ("good",),
            ("bad",),
            ("poison",),
            ("fine",),
        ]

    run(test)


def test_a_busy_server_is_asked_once() -> None:
    async def test() -> None:
        triton = Triton(lambda texts: ServerBusy("later", 2.0) if len(texts) > 1 else None)
        assert await answers_of_four(triton) == ["ServerBusy"] * 4
        assert len(triton.groups) == AT_ONCE + 1

    run(test)


def test_a_cancelled_request_leaves_nobody_waiting() -> None:
    async def test() -> None:
        def cancelled(texts: tuple[str, ...]) -> None:
            if len(texts) > 1:
                raise asyncio.CancelledError

        assert await answers_of_four(Triton(cancelled)) == ["CancelledError"] * 4

    run(test)


def test_who_leaves_costs_the_others_nothing(patient: None) -> None:
    async def test() -> None:
        triton = Triton()
        gathered, tasks = await busy(triton)
        group = [ask(gathered, str(number)) for number in range(MOST_TEXTS)]
        await asyncio.sleep(0)
        group[1].cancel()
        tasks[0].cancel()
        await asyncio.sleep(0)
        triton.open.set()
        answers = await asyncio.gather(*group, *tasks, return_exceptions=True)
        names = [*map(str, range(MOST_TEXTS)), *(f"first{number}" for number in range(AT_ONCE))]
        names[1] = names[MOST_TEXTS] = "CancelledError"
        assert [label(answer) for answer in answers] == names
        again = [ask(gathered, str(number)) for number in range(AT_ONCE)]
        await asyncio.gather(*again)  # every place is free again
        assert triton.groups[-AT_ONCE:] == [(str(number),) for number in range(AT_ONCE)]

    run(test)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.sampled_from([1.0, 2.0])), max_size=60))
def test_whoever_comes_whenever_gets_the_answer_of_the_own_text(visits: list[tuple[int, int, float]]) -> None:
    async def test() -> None:
        requests: list[tuple[tuple[str, ...], float]] = []
        took = iter([*(slow for _, slow, _ in visits)] * 2)

        async def send(texts: tuple[str, ...], request_id: str, timeout: float, trace: str) -> list[Outcome]:
            requests.append((texts, timeout))
            await asyncio.sleep(next(took) / 1000)
            return [answered(text) for text in texts]

        gathered = Gathering(send)
        tasks = []
        for number, (pause, _, timeout) in enumerate(visits):
            tasks.append(ask(gathered, f"{number}:{timeout}", timeout))
            await asyncio.sleep(pause / 1000)
        answers = await asyncio.gather(*tasks)
        wanted = [f"{number}:{timeout}" for number, (_, _, timeout) in enumerate(visits)]
        assert [answer.label for answer in answers] == wanted
        sent = [text for texts, _ in requests for text in texts]
        assert sorted(sent) == sorted(wanted)
        assert all(len(texts) <= MOST_TEXTS for texts, _ in requests)
        assert all(text.endswith(f":{timeout}") for texts, timeout in requests for text in texts)

    run(test)
