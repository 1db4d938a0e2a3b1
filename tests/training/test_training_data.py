"""Bad data is refused with the row's number; good data comes out as it went in."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.corpus import load_corpus
from training.data import DataError, Examples, load_examples, split_examples, without

GOOD_CSV = 'text,label\n"A fine, warm film.",pos\nDull.,neg\n"Two\nlines",pos\nBad.,neg\n'


def load(path: Path, content: str | bytes, labels: tuple[str, ...] = ()) -> Examples:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_examples(str(path), "text", "label", labels)


def test_csv_keeps_texts_and_names_labels_in_order(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.csv", GOOD_CSV)
    assert examples.texts == ["A fine, warm film.", "Dull.", "Two\nlines", "Bad."]
    assert examples.names == ("neg", "pos")
    assert examples.labels.tolist() == [1, 0, 1, 0]


def test_values_that_look_missing_to_pandas_are_ordinary_labels(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.csv", "text,label\nNA,NA\nnull,None\n")
    assert examples.texts == ["NA", "null"]
    assert examples.names == ("NA", "None")


def test_json_lines_with_number_labels_take_the_given_names(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"t{i}", "label": i % 3}) + "\n" for i in range(6))
    examples = load(tmp_path / "a.jsonl", lines, ("low", "middle", "high"))
    assert examples.names == ("low", "middle", "high")
    assert examples.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_csv_with_number_labels_takes_the_given_names(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.csv", "text,label\nbad,0\ngood,1\n", ("negative", "positive"))
    assert (examples.names, examples.labels.tolist()) == (("negative", "positive"), [0, 1])


def test_parquet_is_read_without_names(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b", "c"], "label": [10, 2, 10]}).to_parquet(tmp_path / "a.parquet")
    examples = load_examples(str(tmp_path / "a.parquet"), "text", "label")
    assert (examples.names, examples.labels.tolist()) == (("2", "10"), [1, 0, 1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,verdict\nx,y\n", "no column 'label'; it has: text, verdict"),
        ("a.csv", GOOD_CSV + '"  ",neg\n', "row 5: the text is empty"),
        ("a.csv", GOOD_CSV + "Odd.,\n", "row 5: the label is missing"),
        ("a.csv", "text,label\nx,pos\ny,pos\n", r"one class only \(pos, rows 1 to 2\)"),
        ("a.csv", GOOD_CSV.encode() + b"caf\xe9,pos\n", "row 5: not UTF-8"),
        ("a.csv", "text,label\nx,pos\n".encode("utf-16"), "row 0: not UTF-8"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "row 2: not JSON"),
        ("a.jsonl", '{"text": "x", "label": 1}\n[1]\n', "row 2: not a JSON object"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": null, "label": 0}\n', "row 2: the text is None"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": "\xff", "label": 0}\n', "row 2: not UTF-8"),
        ("a.csv", "", "is empty"),
    ],
)
def test_bad_rows_are_refused_by_number(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path / name, content)


def test_a_label_outside_the_given_names_is_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2: unknown label 'neutral'; the labels are neg, pos"):
        load(tmp_path / "a.csv", "text,label\nx,pos\ny,neutral\n", ("neg", "pos"))


def test_an_unlabelled_row_of_a_numbered_column_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b", "c"], "label": [0, 1, -1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 3: unknown label '-1'"):
        load_examples(str(tmp_path / "a.parquet"), "text", "label", ("neg", "pos"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        load_examples("nowhere.csv", "text", "label")


def test_splits_are_stratified_seeded_and_disjoint() -> None:
    examples = Examples([str(i) for i in range(100)], np.arange(100) % 4, ("a", "b", "c", "d"))
    kept, held_out = split_examples(examples, 0.2, seed=3)
    assert np.bincount(held_out.labels).tolist() == [5, 5, 5, 5]
    assert sorted(kept.texts + held_out.texts) == sorted(examples.texts)
    assert split_examples(examples, 0.2, seed=3)[1].texts == held_out.texts


def test_a_label_with_one_text_cannot_be_held_out() -> None:
    examples = Examples(["a", "b", "c"], np.array([0, 1, 1]), ("rare", "common"))
    with pytest.raises(DataError, match="row 1: label 'rare' occurs only once"):
        split_examples(examples, 0.2, seed=0)


def test_texts_of_the_test_data_are_dropped() -> None:
    examples = Examples(["a", "b", "c"], np.array([0, 1, 0]), ("x", "y"))
    assert without(examples, ["b", "z"]).texts == ["a", "c"]


def test_a_distillation_refuses_several_labels_a_text(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"t{i}", "label": ["a", "b"][: i % 3]}) + "\n" for i in range(6))
    (tmp_path / "a.jsonl").write_text(rows)
    (tmp_path / "b.jsonl").write_text(rows.replace(': "t', ': "u'))
    sources = (str(tmp_path / "a.jsonl"), "", str(tmp_path / "b.jsonl"))
    with pytest.raises(DataError, match="several labels a text; distillation needs one"):
        load_corpus(*sources, columns=("text", "label"), labels=(), held_out=1, seed=0)
