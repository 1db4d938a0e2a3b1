import random

import pytest

from clients.batching import Batch
from clients.errors import InvalidText
from clients.pipeline import Pipeline
from clients.sentiment import Sentiment


def answer(batch: Batch) -> list[Sentiment]:
    return [Sentiment(text, 1.0, (1.0,), 1, False) for text in batch.texts]


def drive(texts: list[str], window: int, in_flight: int, shuffle: random.Random) -> tuple[list[str], int]:
    """Plays a client whose requests end in random order; returns the labels and the most texts held."""
    pipeline = Pipeline(batch_size=4, batch_bytes=60, window=window)
    source, running, labels, given, most = iter(texts), [], [], 0, 0
    while not pipeline.done:
        while len(running) < in_flight:
            if pipeline.wants_texts:
                taken = [text for _, text in zip(range(window), source, strict=False)]
                given += len(taken)
                pipeline.add(taken)
            if (batch := pipeline.next_batch()) is None:
                break
            running.append(batch)
        most = max(most, given - len(labels))
        if running:
            batch = running.pop(shuffle.randrange(len(running)))
            pipeline.finish(batch, answer(batch))
        labels += [outcome.label for outcome in pipeline.drain()]
    return labels, most


def test_answers_leave_in_the_order_of_the_texts_however_requests_end():
    for seed in range(20):
        shuffle = random.Random(seed)
        texts = [f"{number} {'x' * shuffle.randrange(90)}" for number in range(300)]
        assert drive(texts, window=32, in_flight=5, shuffle=shuffle)[0] == texts


def test_a_straggler_bounds_what_is_held():
    class LastFirst(random.Random):
        def randrange(self, stop: int) -> int:
            return stop - 1

    texts = [str(number) for number in range(1000)]
    labels, most = drive(texts, window=20, in_flight=3, shuffle=LastFirst())
    assert labels == texts
    assert most <= 3 * 20


def test_text_without_utf8_form_is_answered_by_its_refusal():
    pipeline = Pipeline(8, 1000, 8)
    pipeline.add(["good", "half a pair \ud83d", "fine"])
    batch = pipeline.next_batch()
    assert sorted(batch.indices) == [0, 2]
    pipeline.finish(batch, answer(batch))
    first, refusal, last = pipeline.drain()
    assert (first.label, last.label) == ("good", "fine")
    assert isinstance(refusal, InvalidText)
    assert refusal.index == 1


def test_window_of_refusals_alone_is_not_the_end():
    pipeline = Pipeline(8, 1000, 2)
    pipeline.add(["\ud800", "\ud801"])
    assert pipeline.next_batch() is None
    assert [refusal.index for refusal in pipeline.drain()] == [0, 1]
    assert not pipeline.done
    assert pipeline.wants_texts


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["nested"]])
def test_what_is_not_str_is_named_with_its_place(wrong):
    pipeline = Pipeline(8, 1000, 8)
    pipeline.add(["a"] * 8)
    with pytest.raises(TypeError, match=f"text 9 is {type(wrong).__name__}, not str"):
        pipeline.add(["b", wrong])
