"""The tokenizer, whatever files it lies in, gives transformers' ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from export.checkpoint.reading import load_checkpoint
from export.checkpoint.tokenizer_sources import read_tokenizer
from export.errors import CheckpointError
from tests.export.kinds import leave_vocabulary
from tests.synthetic import write_tokenizer

TEXTS = (
    "",
    "A Great FILM, café naïve ÀÉÎ",
    "最後 came too soon 😀",
    "[MASK] [SEP] in the middle [PAD]",
    "<user> said <url>, twice <user>!",
    "un\u0000printable\ttabs \u00a0 and \u200b zero width",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mobilebert"}))
    return tmp_path


def ids(folder: Path, texts: tuple[str, ...] = TEXTS) -> list[list[int]]:
    tokenizer = Tokenizer.from_buffer(read_tokenizer(folder)[0])
    return [tokenizer.encode(text).ids for text in texts]


def wanted(folder: Path, texts: tuple[str, ...] = TEXTS) -> list[list[int]]:
    return [AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for text in texts]


USER = {"content": "<user>", "lstrip": False, "rstrip": False, "single_word": False, "normalized": True}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
        {"additional_special_tokens": ["<user>", "<url>"]},
        {"extra_special_tokens": ["<url>"]},
        {"unk_token": {"content": "[UNK]", "__type": "AddedToken"}},
    ],
)
def test_vocabulary_alone_gives_the_tokenizer_that_transformers_builds(
    options: dict[str, Any], folder: Path
) -> None:
    leave_vocabulary(folder, **options)
    assert ids(folder) == wanted(folder)
    assert read_tokenizer(folder)[1] == ("the fast tokenizer was built from vocab.txt",)


def test_added_tokens_keep_their_ids(folder: Path) -> None:
    size = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    leave_vocabulary(folder, added_tokens_decoder={str(size): {**USER, "special": False}})
    assert ids(folder) == wanted(folder)
    assert size in ids(folder)[4]


def test_the_oldest_uploads_keep_added_tokens_in_a_file_of_their_own(folder: Path) -> None:
    size = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    leave_vocabulary(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<url>": size + 1, "<user>": size}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"unk_token": "[UNK]"}))
    found = ids(folder)[4]
    assert found.count(size) == 2
    assert found.count(size + 1) == 1


def test_an_added_token_with_a_gap_before_its_id_is_refused(folder: Path) -> None:
    leave_vocabulary(folder, added_tokens_decoder={"9999": {**USER, "special": False}})
    with pytest.raises(CheckpointError, match="9999"):
        read_tokenizer(folder)


def test_tokens_with_other_names_frame_the_text(folder: Path) -> None:
    leave_vocabulary(folder, cls_token="the", sep_token="film")
    assert ids(folder) == wanted(folder)


def test_a_vocabulary_without_its_special_tokens_is_refused(folder: Path) -> None:
    leave_vocabulary(folder)
    path = folder / "vocab.txt"
    path.write_text(path.read_text().replace("[CLS]\n", ""))
    with pytest.raises(CheckpointError, match=r"\[CLS\]"):
        read_tokenizer(folder)


@pytest.mark.parametrize("options", [{"do_lower_case": False}, {"strip_accents": False}, {}])
def test_where_two_files_disagree_transformers_is_followed(options: dict[str, Any], folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["normalizer"]["lowercase"] = not options.get("do_lower_case", True)
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MobileBertTokenizerFast", **options})
    )
    assert ids(folder) == wanted(folder)
    assert "tokenizer_config.json overrides tokenizer.json" in read_tokenizer(folder)[1][0]


def test_a_tokenizer_of_another_class_is_taken_as_it_is(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False})
    )
    assert ids(folder) == wanted(folder)
    assert read_tokenizer(folder) == ((folder / "tokenizer.json").read_bytes(), ())


def test_agreeing_files_leave_the_bytes_alone(folder: Path) -> None:
    assert read_tokenizer(folder) == ((folder / "tokenizer.json").read_bytes(), ())


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json and vocab\.txt are missing"):
        read_tokenizer(tmp_path)


def test_any_text_gives_the_ids_of_transformers(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "mobilebert"}))
    leave_vocabulary(folder, do_lower_case=False)
    ours, theirs = Tokenizer.from_buffer(read_tokenizer(folder)[0]), AutoTokenizer.from_pretrained(folder)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60))
    def same(text: str) -> None:
        assert ours.encode(text).ids == theirs(text)["input_ids"]

    same()


def test_tokens_beyond_the_models_vocabulary_are_said(own_checkpoint: Path) -> None:
    tokenizer = Tokenizer.from_file(str(own_checkpoint / "tokenizer.json"))
    assert load_checkpoint(own_checkpoint).notes == ()
    tokenizer.add_tokens(["<user>", "<url>"])
    tokenizer.save(str(own_checkpoint / "tokenizer.json"))
    (note,) = load_checkpoint(own_checkpoint).notes
    assert note.startswith("2 of the tokenizer's tokens")
