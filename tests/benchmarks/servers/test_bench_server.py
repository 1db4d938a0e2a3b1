"""The pure parts of the measurements of the server itself."""

from benchmarks.memory import LONGEST, Usage, random_texts
from benchmarks.overhead import ALONE, SERVED, Speed, share


def test_growth_counts_from_the_end_of_the_first_fifth() -> None:
    assert Usage(start=100, after=[150, 152, 151, 149, 155], peak=160).growth == 5


def test_texts_are_the_same_on_every_run_and_of_every_length() -> None:
    lengths = [len(text.split()) for text in random_texts(2000)]
    assert lengths == [len(text.split()) for text in random_texts(2000)]
    assert min(lengths) < 5
    assert LONGEST - 5 < max(lengths) <= LONGEST


def test_the_share_is_the_median_of_the_rounds_ratios() -> None:
    def round_of(alone: float, served: float) -> dict[str, Speed]:
        return {ALONE: Speed(alone, 0), SERVED: Speed(served, 0)}

    assert share([round_of(100, 90), round_of(10, 9.5), round_of(1000, 100)], SERVED) == 0.9
