"""Readers: units of any size give the rows that an independent reader finds."""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk.errors import BadFile
from bulk.formats.reading import plan, read
from bulk.places import Source, find_inputs
from bulk.plan import Task
from bulk.texts import BadText, as_text
from tests.bulk.commands import reviews, write_parquet

STRANGE = [
    'a "quoted" word',
    "two\nlines",
    "comma, comma",
    "",
    "crlf\r\nhere",
    "ünïcödé 🎬",
    "tab\there",
    "'",
]


def source(path: Path) -> Source:
    return find_inputs([str(path)])[0]


def texts_of(path: Path, unit_rows: int, only: Callable[[int], bool] = lambda number: True) -> list[object]:
    planned = plan(source(path), "review", unit_rows)
    units = tuple(unit for unit in planned.units if only(unit.number))
    found, rows = [], dict.fromkeys((unit.number for unit in units), 0)
    for unit, part in read(Task(source(path), planned.schema, units), "review"):
        assert part.columns.num_rows == len(part.texts)
        rows[unit.number] += len(part.texts)
        found += [as_text(value) for value in part.texts]
    assert [rows[unit.number] for unit in units] == [unit.rows for unit in units]
    return found


def strange(count: int) -> list[str]:
    chance = random.Random(1)
    return ["".join(chance.choices(STRANGE, k=chance.randint(0, 6))) for _ in range(count)]


def write_csv(path: Path, texts: list[str], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(["id", "review"])
        table.writerows([[number, text] for number, text in enumerate(texts)])
    return path


@pytest.mark.parametrize("unit_rows", [1, 7, 1000])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.zst"])
def test_units_of_any_size_hold_every_row_once_in_order(form: str, unit_rows: int, tmp_path: Path) -> None:
    texts = strange(61)
    path = tmp_path / f"reviews.{form}"
    if form == "parquet":
        write_parquet(path, texts, row_group_size=23)
    elif "csv" in form or form == "tsv":
        write_csv(path.with_suffix("") if "gz" in form else path, texts, "\t" if form == "tsv" else ",")
    else:
        plain = tmp_path / "reviews.jsonl"
        plain.write_text("".join(json.dumps({"review": text}) + "\n" for text in texts))
    if form.endswith(("gz", "zst")):
        plain = path.with_suffix("")
        kind = "gzip" if form.endswith("gz") else "zstd"
        with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, kind) as stream:
            stream.write(plain.read_bytes())
    assert texts_of(path, unit_rows) == texts
    if unit_rows == 7:  # as on a rerun, or on another machine
        odd = [text for number, text in enumerate(texts) if number // 7 % 2]
        if form != "parquet":
            assert texts_of(path, 7, lambda number: number % 2 == 1) == odd


def test_of_a_large_row_group_some_parts_can_be_read_alone(tmp_path: Path) -> None:
    texts = reviews(1000)
    path = write_parquet(tmp_path / "a.parquet", texts, row_group_size=700)
    assert texts_of(path, 300, lambda number: number in (1, 2, 3)) == texts[300:1000]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_every_kind_of_string_column_is_read(kind: pa.DataType, tmp_path: Path) -> None:
    texts = [*strange(20), None]
    pq.write_table(pa.table({"review": pa.array(texts).cast(kind)}), tmp_path / "a.parquet")
    assert texts_of(tmp_path / "a.parquet", 8) == [*texts[:-1], BadText("the text is null")]


def test_strings_that_are_not_utf8_cost_only_their_rows(tmp_path: Path) -> None:
    column = pa.array([b"good", b"caf\xe9", b"bad"]).view(pa.string())
    pq.write_table(pa.table({"review": column}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_bytes(b"review,n\ngood,1\ncaf\xe9,2\nbad,3,4\n\nbad,5\n")
    (tmp_path / "c.jsonl").write_bytes(
        b'{"review":"good"}\n{"review":"caf\xe9"}\nnull\n{"review":5}\n{}\n[\n'
    )
    wrong = BadText("the text is not valid UTF-8 at byte 3")
    assert texts_of(tmp_path / "a.parquet", 2) == ["good", wrong, "bad"]
    assert texts_of(tmp_path / "b.csv", 2) == [
        "good",
        wrong,
        BadText("the row has 3 fields, the header 2"),
        "bad",
    ]
    reasons = [each if isinstance(each, str) else each.reason for each in texts_of(tmp_path / "c.jsonl", 2)]
    assert reasons == [
        "good",
        "the line is not valid UTF-8 at byte 14",
        "the line is no JSON object",
        "the text is not a string but a number",
        "the text is null",
        "the line is not JSON: Expecting value",
    ]


def test_a_line_that_is_far_too_long_costs_only_itself(tmp_path: Path) -> None:
    lines = ['{"review": "a"}', '{"review": "' + "x" * (17 << 20) + '"}', '{"review": "b"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    first, long, last = texts_of(tmp_path / "a.jsonl", 1)
    assert (first, last) == ("a", "b")
    assert long == BadText("the line is longer than 16 MiB")


def test_json_columns_have_one_type_each(tmp_path: Path) -> None:
    rows = [
        {"review": "a", "i": 1, "f": 1, "b": True, "m": 1, "o": {"x": [1]}, "n": None},
        {"review": "b", "i": 2, "f": 0.5, "b": None, "m": "two", "big": 2**70},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    planned = plan(source(tmp_path / "a.jsonl"), "review", 10)
    kinds = {field.name: str(field.type) for field in planned.schema}
    assert kinds == {
        "review": "string",
        "i": "int64",
        "f": "double",
        "b": "bool",
        "m": "string",
        "o": "string",
        "n": "string",
        "big": "string",
    }
    task = Task(source(tmp_path / "a.jsonl"), planned.schema, planned.units)
    (_, found), *_ = read(task, "review")
    assert found.columns.to_pylist()[0] == {**rows[0], "f": 1.0, "m": "1", "o": '{"x": [1]}', "big": None}


def test_gzip_members_that_were_joined_are_all_read(tmp_path: Path) -> None:
    parts = [gzip.compress(f'{{"review": "{number}"}}\n'.encode()) for number in range(3)]
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(parts))
    assert texts_of(tmp_path / "a.jsonl.gz", 10) == ["0", "1", "2"]


def _broken(path: Path) -> Path:
    whole = io.BytesIO()
    pq.write_table(pa.table({"review": reviews(100)}), whole)
    contents = {
        "cut.jsonl.gz": gzip.compress("".join(f'{{"review": "{text}"}}\n' for text in reviews(99)).encode())[
            :-9
        ],
        "cut.parquet": whole.getvalue()[:-9],
        "noise.csv.zst": b"noise",
        "other.csv": b"id,text\n1,good\n",
        "twice.csv": b"review,review\n1,2\n",
        "numbers.parquet": _numbers(),
        "words.jsonl": b"good\nbad\n",
        "open.csv": b'review\n"never closed ' + b"x\n" * (9 << 20),
    }
    path.write_bytes(contents[path.name])
    return path


def _numbers() -> bytes:
    whole = io.BytesIO()
    pq.write_table(pa.table({"review": [1, 2]}), whole)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.jsonl.gz", "can't be read to its end"),
        ("cut.parquet", "can't be read as parquet"),
        ("noise.csv.zst", "can't be read to its end"),
        ("other.csv", "has no column 'review'; it has 'id', 'text'"),
        ("twice.csv", "two columns of one name"),
        ("numbers.parquet", "has int64 in column 'review', not texts"),
        ("words.jsonl", "holds no JSON object"),
        ("open.csv", "can't be read as CSV"),
    ],
)
def test_a_file_that_can_t_be_read_says_why(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=reason):
        plan(source(_broken(tmp_path / name)), "review", 10)
