import json
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.errors import BenchmarkError
from benchmarks.load import texts
from benchmarks.load.texts import Review, first_sentence, in_balanced_order, long_review
from benchmarks.paths import SHIPPED_CHECKPOINT


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A folder with a word tokenizer and golden texts, and no IMDB at hand."""
    monkeypatch.delenv("IMDB_DATA", raising=False)
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lines = [{"text": f"A good film number {i}. It has a second sentence, too."} for i in range(5)]
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_every_eight_neighbours_span_the_lengths() -> None:
    ordered = in_balanced_order([Review("", tokens=i) for i in range(64)])
    for start in range(0, 64, 8):
        tokens = sorted(review.tokens for review in ordered[start : start + 8])
        assert all(b - a < 16 for a, b in pairwise(tokens))
        assert sum(tokens) / 8 == pytest.approx(31.5, abs=4)


def test_a_long_text_has_as_many_tokens_as_it_says() -> None:
    tokenizer = Tokenizer.from_file(str(SHIPPED_CHECKPOINT / "tokenizer.json"))
    tokenizer.no_truncation()
    assert len(tokenizer.encode(long_review(4096).text)) == long_review(4096).tokens == 4096


def test_shipped_texts_stand_in_for_missing_reviews(checkpoint) -> None:
    loaded = texts.read_texts(checkpoint, 16)
    assert "ship" in loaded.source
    assert [len(loaded.by_length[name]) for name in texts.LENGTHS] == [16, 16, 16]


def test_worst_case_fills_the_model_and_short_is_a_sentence(checkpoint) -> None:
    loaded = texts.read_texts(checkpoint, 16)
    assert {review.tokens for review in loaded.by_length["worst"]} == {512}
    assert loaded.mean_tokens("short") < loaded.mean_tokens("imdb") < 512


def test_texts_are_the_same_on_every_run(checkpoint) -> None:
    assert texts.read_texts(checkpoint, 16) == texts.read_texts(checkpoint, 16)


def test_bulk_repeats_where_reviews_are_few(checkpoint) -> None:
    assert len(texts.bulk_reviews(checkpoint, 1500)) == 1500


def test_checkpoint_without_tokenizer_is_refused(tmp_path) -> None:
    with pytest.raises(BenchmarkError, match=r"tokenizer\.json"):
        texts.read_texts(tmp_path, 16)


def test_first_sentence_drops_markup() -> None:
    assert first_sentence("Great!<br /><br />Really. Yes") == "Great!"
