"""A tokenizer.json is a program that runs on everybody's text: one that explodes is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint.reading import load_checkpoint
from export.checkpoint.tokenizer_files import check_tokenizer_file
from tests.export.refusals import refused
from tests.synthetic import write_tokenizer

ROOT = Path(__file__).parents[3]


def template(pieces: list, ids: int = 1) -> dict[str, Any]:
    tokens = {"[CLS]": {"id": "[CLS]", "ids": [2] * ids, "tokens": ["[CLS]"] * ids}}
    return {"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": tokens}


TEXT, CLS = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[CLS]", "type_id": 0}}


REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
SPLIT = {"type": "Split", "pattern": {"Regex": "(a|a)*b"}, "behavior": "Isolated", "invert": False}
PAD = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"normalizer": {**REPLACE, "content": "a" * 10**6}}, "Replace"),
        ({"normalizer": {**REPLACE, "pattern": {"Regex": "(a+)+$"}}}, "Replace"),
        ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**6}}, "Prepend"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "Precompiled"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, REPLACE]}}, "Replace"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}] * 1000}}, "parts"),
        ({"pre_tokenizer": SPLIT}, "Split"),
        ({"post_processor": template([TEXT] * 1000)}, "template"),
        ({"post_processor": template([CLS] * 1000 + [TEXT])}, "template"),
        ({"post_processor": template([CLS, TEXT], ids=10**5)}, "template"),
        ({"post_processor": template([CLS])}, "exactly once"),
        ({"padding": {**PAD, "strategy": {"Fixed": 10**9}}}, "padding"),
        ({"padding": {**PAD, "strategy": "BatchLongest", "pad_to_multiple_of": 10**9}}, "padding"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "not WordPiece"),
        ({"model": None}, "not WordPiece"),
        ({"version": "9.0"}, "cannot be read"),
    ],
)
def test_a_part_that_explodes_is_refused(change: dict, match: str, tmp_path: Path) -> None:
    refused(lambda: check_tokenizer_file(changed_tokenizer(tmp_path, change)), match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"max_input_chars_per_word": 10**9}, "max_input_chars_per_word"),
        ({"max_input_chars_per_word": -1}, "max_input_chars_per_word"),
        ({"continuing_subword_prefix": "#" * 1000}, "continuing_subword_prefix"),
        ({"unk_token": "[NOWHERE]"}, "unk_token"),
        ({"vocab": {"[UNK]": 10**12}}, "vocabulary"),
        ({"vocab": {"[UNK]": -1}}, "vocabulary"),
        ({"vocab": ["[UNK]"]}, "vocabulary"),
    ],
)
def test_a_model_that_explodes_is_refused(change: dict, match: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    refused(lambda: check_tokenizer_file(changed_tokenizer(tmp_path, {"model": {**model, **change}})), match)


def test_the_shipped_tokenizer_is_accepted() -> None:
    check_tokenizer_file(ROOT / "checkpoints" / "mobilebert-imdb" / "tokenizer.json")


def test_a_checkpoint_with_such_a_tokenizer_is_refused(own_checkpoint: Path) -> None:
    changed_tokenizer(own_checkpoint, {"pre_tokenizer": {"type": "ByteLevel"}})
    refused(lambda: load_checkpoint(own_checkpoint), "ByteLevel")


def changed_tokenizer(folder: Path, change: dict[str, Any]) -> Path:
    path = folder / "tokenizer.json"
    if not path.exists():
        write_tokenizer(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return path
