"""The tokenizer's pure part, against transformers."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers
from transformers import BertTokenizerFast

from export.graph.windows import Windows
from model_repository.mobilebert_tokenizer import tokenization
from tests.reviews import load_reviews
from tests.synthetic import write_tokenizer

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "checkpoints" / "mobilebert-imdb"


TextLimits, TextError = tokenization.TextLimits, tokenization.TextError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path):
    return tokenization.load_tokenizer(folder / "tokenizer.json")


@pytest.fixture(scope="module")
def library(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def reference(folder: Path) -> BertTokenizerFast:
    return BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))


def request(*texts: str | bytes) -> np.ndarray:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return np.array(encoded, np.object_).reshape(-1, 1)


def random_text(generator: random.Random, length: int) -> str:
    alphabet = [
        "a",
        "b",
        "the",
        " ",
        " ",
        "!",
        "[SEP]",
        "[PAD]",
        "é",
        "e\u0301",
        "中",
        "한",
        "\U0001f600",
        "\t",
        "\u200b",
        "Z",
    ]
    return "".join(generator.choices(alphabet, k=length))


@pytest.mark.parametrize("max_tokens", [3, 8, 512])
def test_ids_and_truncation_are_those_of_transformers(tokenizer, reference, max_tokens: int) -> None:
    generator = random.Random(1)
    texts = [random_text(generator, generator.randrange(900)) for _ in range(60)] + ["", " ", "\x00"]
    for text, row in zip(texts, tokenization.encode(texts, tokenizer, TextLimits(max_tokens)), strict=True):
        assert row.ids == reference(text, truncation=True, max_length=max_tokens)["input_ids"]
        assert row.truncated == (len(reference(text)["input_ids"]) > max_tokens)


@pytest.mark.parametrize("positions", [8, 64, 512])
def test_head_tail_keeps_the_first_quarter_and_the_last_tokens(tokenizer, reference, positions: int) -> None:
    generator = random.Random(2)
    texts = [random_text(generator, generator.choice([9, 900, 30_000])) for _ in range(30)] + [""]
    limits = TextLimits(truncation="head_tail", positions=positions)
    for text, row in zip(texts, tokenization.encode(texts, tokenizer, limits), strict=True):
        every, first = reference(text)["input_ids"], positions // 4
        cut = len(every) > positions
        wanted = [*every[: 1 + first], *every[len(every) - (positions - 1 - first) :]] if cut else every
        assert (row.ids, row.truncated, row.windows) == (wanted, cut, 1)


@pytest.mark.parametrize(
    ("tokens", "windows"), [(1, 1), (2, 1), (512, 1), (513, 2), (1022, 2), (1023, 3), (4096, 9)]
)
def test_windows_are_counted_as_the_graph_cuts_them(tokens: int, windows: int) -> None:
    assert TextLimits().windows(tokens) == windows == Windows(512).count(tokens)


def test_requests_of_one_batch_may_choose_their_own_limits(tokenizer) -> None:
    text = request("good " * 600)
    choices = [{}, {"max_tokens": 100}, {"truncation": "head_tail"}, {}]
    own = [TextLimits().of_request(choice) for choice in choices]
    answers = tokenization.tokenize([text] * 4, tokenizer, own)
    read = [(each.num_tokens.item(), each.truncated.item(), each.num_windows.item()) for each in answers]
    assert read == [(602, False, 2), (100, True, 1), (512, True, 1), (602, False, 2)]


@pytest.mark.parametrize(
    "choice", [{"max_tokens": 2}, {"max_tokens": 4097}, {"max_tokens": True}, {"max_tokens": "9"}], ids=str
)
def test_a_limit_that_makes_no_sense_is_refused_in_a_sentence(choice: dict[str, object]) -> None:
    with pytest.raises(TextError, match="max_tokens must be a whole number from 3 to 4096"):
        TextLimits().of_request(choice)
    with pytest.raises(TextError, match="truncation must be end or head_tail"):
        TextLimits().of_request({"truncation": "middle"})


def test_a_version_without_windows_reads_one_window(tmp_path: Path) -> None:
    parameters = {"max_tokens": "4096", "max_text_bytes": "9"}
    assert tokenization.load_limits(tmp_path, parameters) == TextLimits(512, 9)
    (tmp_path / "windows.json").write_text('{"positions": 128, "max_tokens": 4096}')
    assert tokenization.load_limits(tmp_path, {**parameters, "truncation": "head_tail"}) == TextLimits(
        4096, 9, "head_tail", 128
    )


@pytest.mark.parametrize(
    "unit", ["!", "a ", "a", "a" * 99 + " ", "[SEP]", "中", "e\u0301 \u0301", " ", "\u200b"]
)
def test_encoding_only_the_beginning_of_a_long_text_changes_nothing(tokenizer, library, unit: str) -> None:
    long_texts = [shift + unit * (30_000 // len(unit)) + " end" for shift in ("", "b", "b ", "!!")]
    whole = [encoding.ids for encoding in library.encode_batch(long_texts)]
    for row, expected in zip(tokenization.encode(long_texts, tokenizer, TextLimits(64)), whole, strict=True):
        cut = len(expected) > 64
        assert row.ids == ([*expected[:63], expected[-1]] if cut else expected)
        assert row.truncated == cut
    head_tail = tokenization.encode(long_texts, tokenizer, TextLimits(truncation="head_tail", positions=64))
    for row, expected in zip(head_tail, whole, strict=True):
        assert row.ids == ([*expected[:17], *expected[-47:]] if len(expected) > 64 else expected)


def test_rows_of_a_request_are_padded_to_its_longest_and_to_no_other(tokenizer) -> None:
    first, second = tokenization.tokenize(
        [request("a", "a good film"), request("the")], tokenizer, [TextLimits()] * 2
    )
    assert first.input_ids.shape == (2, 5)
    assert first.input_ids[0, 3:].tolist() == [0, 0]
    assert first.num_tokens.tolist() == [[3], [5]]
    assert second.input_ids.shape == (1, 3)
    assert (first.input_ids.dtype, first.num_tokens.dtype, first.truncated.dtype) == (
        np.int64,
        np.int32,
        np.bool_,
    )


def test_a_refused_request_costs_only_itself(tokenizer) -> None:
    good = request("a good film")
    bad = [
        request(b"\xff\xfe"),
        request("x" * 101),
        request("fine", b"bad \xc3"),
        np.array([[b"a", b"b"]], np.object_),
    ]
    answers = tokenization.tokenize([good, *bad, good], tokenizer, [TextLimits(max_text_bytes=100)] * 6)
    alone = tokenization.tokenize([good], tokenizer, [TextLimits()])[0]
    for served in (answers[0], answers[-1]):
        np.testing.assert_array_equal(served.input_ids, alone.input_ids)
    assert all(isinstance(answer, TextError) for answer in answers[1:-1])
    messages = " | ".join(map(str, answers[1:-1]))
    assert messages == (
        "text 0 is not valid UTF-8 at byte 0 | text 0 has 101 bytes, more than the limit of 100 | "
        "text 1 is not valid UTF-8 at byte 4 | text must have shape [rows, 1], not [1, 2]"
    )


def test_limits_of_tokenizer_json_are_ignored(folder: Path, tmp_path: Path, tokenizer) -> None:
    limited = Tokenizer.from_file(str(folder / "tokenizer.json"))
    limited.enable_truncation(4)
    limited.enable_padding(length=32)
    limited.save(str(tmp_path / "tokenizer.json"))
    reloaded = tokenization.load_tokenizer(tmp_path / "tokenizer.json")
    text = "a good film with the best of all"
    assert tokenization.encode([text], reloaded, TextLimits()) == tokenization.encode(
        [text], tokenizer, TextLimits()
    )


ALPHABETS = (
    st.characters(codec="ascii"),
    st.characters(codec="utf-8"),
    st.sampled_from("aBé\u0301\u00a0\u2028中한ßİΣς\U0001f600 \t\n\r\x0b\x1c\x00\x7f'-[]"),
    st.sampled_from(["film ", "not", "so", "[SEP]", "[sep]", " Bad", "!", "x" * 30, "1990s"]),
)
texts = st.one_of(*(st.lists(alphabet, max_size=60).map("".join) for alphabet in ALPHABETS))


def shipped(lowercase: bool = True) -> Tokenizer:
    library = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    library.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    return library


@pytest.mark.parametrize("lowercase", [True, False])
def test_words_looked_up_give_the_ids_of_the_library(lowercase: bool) -> None:
    library = shipped(lowercase)
    by_word = tokenization.TextTokenizer(library)
    assert by_word.is_bert

    @settings(max_examples=1000, deadline=None)
    @given(st.lists(texts, max_size=3))
    def same(batch: list[str]) -> None:
        assert by_word.encode_batch(batch) == [each.ids for each in library.encode_batch(batch)]

    same()


def test_reviews_get_the_ids_of_the_library() -> None:
    library = shipped()
    reviews = load_reviews(1000)
    found = tokenization.TextTokenizer(library).encode_batch(reviews)
    assert found == [each.ids for each in library.encode_batch(reviews)]


def test_words_that_no_longer_fit_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenization, "REMEMBERED_WORDS", 5)
    library = shipped()
    by_word = tokenization.TextTokenizer(library)
    text = "one two three four five six seven, one two and " + "very" * 20
    assert by_word.encode_batch([text, text]) == [library.encode(text).ids] * 2
    assert len(by_word._words) <= 5


def test_an_added_token_that_is_found_in_normalized_text_leaves_all_to_the_library() -> None:
    library = shipped()
    library.add_tokens([AddedToken("so good", normalized=True)])
    text = "SO GOOD and so bad"
    assert len(library.encode(text)) == 6
    assert tokenization.TextTokenizer(library).encode_batch([text]) == [library.encode(text).ids]
