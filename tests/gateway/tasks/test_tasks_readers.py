"""Files of texts, read row by row; the oracle is the library that reads the whole file at once."""

import csv
import json
import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.problem import Problem
from gateway.tasks import readers

ODD = [
    "",
    " ",
    'quote " and \\',
    "line\nbreak",
    "Отличный 👍🏽",
    "a,b;c\td",
    "\u2028",
    "[1, 2]",
    "null",
    "x" * 70_000,
]


def read(path: Path, form: str, column: str | None = None) -> list:
    return list(readers.rows(path, form, column))


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_list_is_read_as_json_does(tmp_path, ascii_only, indent):
    path = tmp_path / "texts"
    texts = [random.Random(n).choice(ODD) + str(n) for n in range(500)] + ODD
    path.write_text(json.dumps(texts, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    assert read(path, "json") == texts


def test_json_values_cut_anywhere_are_whole(tmp_path, monkeypatch):
    path = tmp_path / "texts"
    texts = ["ab", "\\u00e9é", "", "long " * 20]
    values = [*texts, {"text": "c", "n": 12}, 1234, None, True]
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    for size in range(1, 40):
        monkeypatch.setattr(readers, "READ_CHARACTERS", size)
        found = read(path, "json")
        assert found[:5] == [*texts, "c"]
        assert [list(row) for row in found[5:]] == [["error"]] * 3


@pytest.mark.parametrize(
    "body", ["", "[", '["a"', '["a",]', '["a" "b"]', "[nope]", '["a"] x', '"a"', '{"text": "a"}']
)
def test_what_is_no_json_list_is_refused(tmp_path, body):
    path = tmp_path / "texts"
    path.write_text(body)
    with pytest.raises(Problem) as caught:
        read(path, "json")
    assert caught.value.status == 400


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "texts"
    path.write_text("[" * 200_000)
    for form in ("json", "jsonl"):
        with pytest.raises(Problem):
            read(path, form)


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_table_is_read_as_csv_does(tmp_path, form):
    path = tmp_path / "texts"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file, delimiter="\t" if form == "tsv" else ",")
        table.writerows([["id", "Review", "x"], *([str(n), text, "y"] for n, text in enumerate(ODD))])
    assert read(path, form) == ODD
    assert read(path, form, "id") == [str(number) for number in range(len(ODD))]


def test_short_row_of_a_table_is_an_error_of_its_own(tmp_path):
    path = tmp_path / "texts"
    path.write_text("id,text\n1,good\n2\n\n3,fine\n")
    assert read(path, "csv") == ["good", {"error": "There is no text in line 3."}, "fine"]


def test_json_lines_hold_strings_or_objects(tmp_path):
    path = tmp_path / "texts"
    path.write_text('"a"\n{"id": 1, "sentence": "b"}\n\n{"only": "c"}\n{"text": 3}\n')
    assert read(path, "jsonl") == ["a", "b", "c", {"error": "There is no text in line 5."}]


def test_lines_keep_empty_ones_and_their_order(tmp_path):
    path = tmp_path / "texts"
    path.write_bytes(b"a\r\n\nb\xff\nlast")
    assert read(path, "txt") == ["a", "", {"error": "Line 3 is not UTF-8 at byte 1."}, "last"]


def test_parquet_is_read_in_pieces(tmp_path):
    path = tmp_path / "texts"
    texts = [*ODD, None] * 300
    pq.write_table(pa.table({"n": range(len(texts)), "words": texts}), path, row_group_size=100)
    found = read(path, "parquet")
    assert [row if isinstance(row, str) else None for row in found] == texts
    with pytest.raises(Problem, match="holds no texts"):
        read(path, "parquet", "n")


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["id", "Text"], None, "Text"),
        (["label", "review"], None, "review"),
        (["review", "text"], None, "text"),
        (["anything"], None, "anything"),
        (["a", "b"], "b", "b"),
    ],
)
def test_column_is_named_or_found(names, wanted, found):
    assert readers.find_column(names, wanted) == found


@pytest.mark.parametrize(("names", "wanted"), [(["a", "b"], None), (["a"], "b"), ([], None)])
def test_column_that_cannot_be_found_is_asked_for(names, wanted):
    with pytest.raises(Problem) as caught:
        readers.find_column(names, wanted)
    assert caught.value.status == 422


def test_large_file_is_not_held_in_memory(tmp_path):
    path = tmp_path / "texts"
    with path.open("w") as file:
        file.write("[")
        file.write(",".join([json.dumps("word " * 200)] * 20_000))
        file.write("]")
    assert path.stat().st_size > 20_000_000
    tracemalloc.start()
    count = sum(1 for _ in readers.rows(path, "json", None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 4 << 20
