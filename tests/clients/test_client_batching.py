import random

from clients.batching import Batch, plan_batches


def random_sizes(seed: int, count: int = 500) -> list[int]:
    return [random.Random(seed * 1000 + i).choice([0, 3, 40, 900, 5000, 30_000]) for i in range(count)]


def test_every_text_travels_exactly_once():
    for seed in range(20):
        sizes = random_sizes(seed)
        planned = [row for batch in plan_batches(sizes, 32, 16_384) for row in batch]
        assert sorted(planned) == list(range(len(sizes)))


def test_no_batch_exceeds_a_limit_unless_one_text_does_alone():
    sizes = random_sizes(1)
    for batch in plan_batches(sizes, 8, 10_000):
        assert 1 <= len(batch) <= 8
        assert len(batch) == 1 or sum(sizes[row] for row in batch) <= 10_000


def test_texts_of_similar_length_travel_together():
    batches = list(plan_batches([10, 1000, 10, 1000, 10, 1000], 3, 10_000))
    assert sorted(map(sorted, batches)) == [[0, 2, 4], [1, 3, 5]]


def test_long_texts_go_first():
    sizes = random_sizes(2)
    order = [sizes[row] for batch in plan_batches(sizes, 8, 10_000) for row in batch]
    assert order == sorted(sizes, reverse=True)


def test_no_texts_need_no_request():
    assert list(plan_batches([], 8, 100)) == []


def test_batch_without_a_row_keeps_the_others_in_their_order():
    batch = Batch((4, 1, 7), ("four", "one", "seven"))
    assert batch.without(1) == Batch((4, 7), ("four", "seven"))
    assert batch.without(0).without(1).without(0) == Batch((), ())
